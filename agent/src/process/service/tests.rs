//! Names for command lines as they were recorded from running servers.

use super::surroundings::{container_id, otel_resource_service, unit};
use super::*;

fn facts(cmdline: &[&str], cwd: &str) -> NamingFacts {
    NamingFacts {
        cmdline: cmdline.iter().map(|&argument| argument.to_owned()).collect(),
        cwd: Some(cwd.into()),
        home: Some("/home/ada".into()),
        ..Default::default()
    }
}

fn split(text: &str) -> Vec<&str> {
    text.split(' ').collect()
}

#[rstest::rstest]
// uvicorn
#[case("/venv/bin/python3.11 /venv/bin/uvicorn shop.main:app --workers 4", "/srv/x", "shop")]
#[case("python3 /venv/bin/uvicorn --host 0.0.0.0 --port 8000 shop:app", "/srv/x", "shop")]
#[case("python3 -m uvicorn proj.asgi:application", "/srv/x", "proj")]
#[case("python3 -X dev -um uvicorn main:app --reload", "/home/ada/shop", "shop")]
#[case("python3 /venv/bin/uvicorn main:app", "/home/ada/shop/src", "shop")]
#[case("python3 /venv/bin/uvicorn --app-dir /srv/orders/src main:app", "/home/ada", "orders")]
#[case("python3 /venv/bin/uvicorn --factory billing.web:create_app", "/srv/x", "billing")]
#[case("python3 /venv/lib/python3.11/site-packages/uvicorn/__main__.py main:app", "/srv/shop", "shop")]
#[case("python3 /venv/bin/uvicorn main:app", "/app", "main")]
#[case("python3 /venv/bin/uvicorn company.shop.api.main:app", "/", "company.shop")]
// gunicorn
#[case("python3 /venv/bin/gunicorn -w 4 -b 0.0.0.0:8000 shop.wsgi:application", "/srv/x", "shop")]
#[case("python3 /venv/bin/gunicorn shop.wsgi -b :8000", "/srv/x", "shop")]
#[case("python3 /venv/bin/gunicorn -b :8000 shop.wsgi", "/srv/x", "shop")]
#[case(
    "python3 /venv/bin/gunicorn -k uvicorn.workers.UvicornWorker --workers 2 main:app",
    "/srv/shop",
    "shop"
)]
#[case("python3 /venv/bin/gunicorn --name till main:app", "/srv/shop", "till")]
#[case("python3 /venv/bin/gunicorn -c python:deploy.gunicorn_conf shop:create_app()", "/srv/x", "shop")]
#[case("python3 /venv/bin/gunicorn --chdir /srv/till app:app", "/", "till")]
// others
#[case("python3 -m hypercorn --bind 127.0.0.1:8000 shop.main:app", "/srv/x", "shop")]
#[case("python3 /venv/bin/granian --interface asgi --workers 2 shop.main:app", "/srv/x", "shop")]
#[case("python3 /venv/bin/daphne -p 8001 proj.asgi:application", "/srv/x", "proj")]
#[case("python3 /venv/bin/waitress-serve --listen=127.0.0.1:8080 --call shop:create_app", "/srv/x", "shop")]
#[case("python3 /venv/bin/flask --app shop run --port 5001", "/srv/x", "shop")]
#[case("python3 -m flask --app=shop/main.py run", "/srv/x", "shop")]
#[case("python3 -m flask run", "/home/ada/till", "till")]
#[case("python3 /venv/bin/fastapi run shop/main.py", "/srv/x", "shop")]
#[case("python3 manage.py runserver 0.0.0.0:8000", "/home/ada/shop", "shop")]
#[case("python3 /srv/till/manage.py runserver", "/", "till")]
#[case("python3 manage.py runserver --settings=proj.settings", "/home/ada/shop", "proj")]
#[case("python3 -m django runserver --settings proj.settings", "/home/ada/shop", "proj")]
#[case("python3 /venv/bin/celery -A proj worker -l info", "/srv/x", "proj")]
#[case("python3 -m celery --app=proj.celery:app worker", "/srv/x", "proj")]
#[case("/usr/bin/uwsgi --http :8000 --module proj.wsgi:application", "/srv/x", "proj")]
// modules and scripts
#[case("python3 -m shop", "/srv/x", "shop")]
#[case("python3 -m shop.main --debug", "/srv/x", "shop")]
#[case("python3 -m http.server 8000", "/srv/x", "http.server")]
#[case("python3 worker.py", "/srv/shop", "worker")]
#[case("python3 /srv/shop/main.py", "/", "shop")]
#[case("python3 ../till/app.py", "/home/ada/shop", "till")]
#[case("python3 -Wignore -c print(1)", "/srv/shop", "shop")]
#[case("python3", "/", "python")]
#[case("python3 -", "/home/ada", "python")]
// programs around programs
#[case("python3 -m coverage run -m uvicorn shop:app", "/srv/x", "shop")]
#[case("python3 -m debugpy --listen 5678 -m shop", "/srv/x", "shop")]
#[case("python3 /venv/bin/ddtrace-run gunicorn shop:app", "/srv/x", "shop")]
fn service_is_named_after_what_is_served(#[case] cmdline: &str, #[case] cwd: &str, #[case] expected: &str) {
    assert_eq!(service_name(&facts(&split(cmdline), cwd), None), expected, "{cmdline}");
}

#[rstest::rstest]
#[case("gunicorn: master [shop]", "shop")]
#[case("gunicorn: worker [shop.wsgi:application]", "shop")]
#[case("[celeryd: celery@host:MainProcess] -active- (worker -A proj)", "proj")]
#[case("gunicorn: master [main:app]", "till")]
fn titles_tell_the_service(#[case] title: &str, #[case] expected: &str) {
    assert_eq!(service_name(&facts(&[title], "/srv/till"), None), expected);
}

#[rstest::rstest]
#[case(&["python3", "-c", "from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=5, pipe_handle=7)", "--multiprocessing-fork"])]
#[case(&["python3", "-c", "from multiprocessing.resource_tracker import main;main(4)"])]
#[case(&["python3", "-s", "-c", "from multiprocessing.forkserver import main; main(11, 12, [])"])]
#[case(&["shop: cleaning up"])]
fn workers_take_the_name_of_their_ancestor(#[case] cmdline: &[&str]) {
    let facts = facts(cmdline, "/srv/elsewhere");
    assert!(is_worker(&facts));
    assert_eq!(service_name(&facts, Some("shop")), "shop");
    assert_eq!(service_name(&facts, None), "elsewhere", "an orphan is named by its directory");
}

#[test]
fn a_server_started_by_a_python_supervisor_keeps_its_own_name() {
    let facts = facts(&["python3", "/venv/bin/uvicorn", "shop:app"], "/srv/x");
    assert!(!is_worker(&facts));
    assert_eq!(service_name(&facts, Some("supervisord")), "shop");
}

#[test]
fn opentelemetrys_name_wins_over_everything() {
    let mut facts = facts(&["python3", "-c", "from multiprocessing.spawn import spawn_main"], "/srv/x");
    facts.otel_service = Some("checkout".into());
    facts.control_group = "/system.slice/shop.service".into();
    assert_eq!(service_name(&facts, Some("parent")), "checkout");
}

#[test]
fn unit_names_what_the_command_line_leaves_open() {
    let mut generic = facts(&["python3", "/venv/bin/uvicorn", "main:app"], "/srv/x");
    generic.control_group = "/system.slice/shop.service".into();
    assert_eq!(service_name(&generic, None), "shop");
    let mut telling = facts(&["python3", "/venv/bin/uvicorn", "till:app"], "/srv/x");
    telling.control_group = generic.control_group;
    assert_eq!(service_name(&telling, None), "till");
}

#[test]
fn environment_names_flask_and_django() {
    let mut flask = facts(&["python3", "/venv/bin/flask", "run"], "/srv/x");
    flask.flask_app = Some("shop:create_app".into());
    assert_eq!(service_name(&flask, None), "shop");
    let mut django = facts(&["python3", "manage.py", "runserver"], "/srv/x");
    django.django_settings = Some("till.settings".into());
    assert_eq!(service_name(&django, None), "till");
}

/// `manage.py` names the settings in its own environment, so that only the process that it starts anew is born with them.
#[test]
fn what_django_reloads_has_the_name_of_what_started_it() {
    let parent = facts(&["python3", "manage.py", "runserver"], "/srv/books");
    let name = service_name(&parent, None);
    assert_eq!(name, "books");
    let mut child = parent;
    (child.django_settings, child.is_reloaded) = (Some("till.settings".into()), true);
    assert_eq!(service_name(&child, Some(&name)), "books");
    assert_eq!(service_name(&child, None), "till", "its parent is not watched");
    let mut other = facts(&["python3", "worker.py"], "/srv/books");
    other.is_reloaded = true;
    assert_eq!(service_name(&other, Some(&name)), "worker", "started by the application");
}

#[rstest::rstest]
#[case("/system.slice/shop.service", Some("shop"))]
#[case("/system.slice/system-worker.slice/worker@2.service", Some("worker"))]
#[case("/system.slice/my\\x2dshop.service/inner", Some("my-shop"))]
#[case("/user.slice/user-1000.slice/user@1000.service/app.slice/app-x.scope", None)]
#[case("/user.slice/user-1000.slice/session-3.scope", None)]
#[case("/user.slice/user-1000.slice/user@1000.service/app.slice/shop.service", Some("shop"))]
#[case("/system.slice/ssh.service", None)]
#[case("/system.slice/run-r0123456789abcdef.service", None)]
#[case("/", None)]
fn units_are_read_from_the_control_group(#[case] path: &str, #[case] expected: Option<&str>) {
    assert_eq!(unit(path).as_deref(), expected);
}

#[test]
fn containers_are_read_from_the_control_group() {
    let id = "0123456789abcdef".repeat(4);
    for path in [
        format!("/docker/{id}"),
        format!("/system.slice/docker-{id}.scope"),
        format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{id}.scope"),
        format!("/machine.slice/libpod-{id}.scope/container"),
    ] {
        assert_eq!(container_id(&path).as_deref(), Some(id.as_str()), "{path}");
    }
    assert_eq!(container_id("/system.slice/shop.service"), None);
}

#[test]
fn resource_attributes_tell_the_service() {
    let text = "deployment.environment=prod, service.name=my%20shop ,service.version=2";
    assert_eq!(otel_resource_service(text).as_deref(), Some("my shop"));
    assert_eq!(otel_resource_service("service.namespace=x"), None);
}

#[test]
fn names_are_cut_and_cleaned() {
    let mut long = facts(&["python3"], "/");
    long.otel_service = Some(format!("a\n{}", "b".repeat(200)));
    assert_eq!(service_name(&long, None), format!("a{}", "b".repeat(63)));
}

#[rstest::rstest]
#[case(&["/v/bin/python", "/v/bin/uvicorn", "shop.app:app", "--port", "80"], Some(Started::Module("shop.app".into())))]
#[case(&["/v/bin/python", "-m", "shop"], Some(Started::Module("shop".into())))]
#[case(&["gunicorn: worker [shop.wsgi]"], Some(Started::Module("shop.wsgi".into())))]
#[case(&["/v/bin/python3", "/v/bin/shop", "--port", "80"], Some(Started::Command("/v/bin/shop".into())))]
#[case(&["/v/bin/python3", "bin/shop-server"], Some(Started::Command("bin/shop-server".into())))]
#[case(&["/v/bin/python3", "/srv/shop/run.py"], None)]
#[case(&["/v/bin/python3", "-c", "from multiprocessing.spawn import spawn_main; spawn_main()"], None)]
#[case(&[], None)]
fn what_is_started_is_a_module_or_a_command(#[case] line: &[&str], #[case] expected: Option<Started>) {
    assert_eq!(started(&facts(line, "/srv/x")), expected);
}
