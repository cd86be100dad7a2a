"""Ways to fail, by name; and ways to raise without failing."""

import json


class Broken(Exception):
    """An error of the app's own."""


class Cart:
    """Fails in a method."""

    def total(self, prices):
        """Fails in a generator that C code runs."""
        return sum(self._each(prices))

    def _each(self, prices):
        for price in prices:
            yield price["amount"]


def division(rid=7, note="three words here", ratio=2.5, flag=True, nothing=None):
    one = 1
    password = "marked-" + "secret-word"
    contact = "ann." + "marked-secret-word@example.org"
    card = 4111111111111111
    later = "a card " * 15 + "marked-" + "secret-word"
    return one / 0, password, contact, card, later


def key():
    return {"a": 1}["missing"]


def generator():
    return Cart().total([{"amount": 1}, {"other": 2}])


def c_code():
    return json.loads('{"a": ')


def cause():
    try:
        key()
    except KeyError as error:
        raise Broken("cannot do it") from error


def context():
    try:
        division()
    except ZeroDivisionError:
        raise Broken("while handling")


def nested():
    try:
        cause()
    except Broken:
        return int("twelve")


def missing_file():
    with open("/nowhere/at/all") as file:
        return file.read()


def no_message():
    raise Broken


def two_arguments():
    raise Broken("no such item", 7)


def unicode_message():
    raise Broken("größer als 10 €")


def recursion(depth=12):
    if depth:
        return recursion(depth - 1)
    raise Broken("deep down")


def lambdas():
    return list(map(lambda n: 1 // n, [1, 0]))


LIBRARY = """
def calls(function):
    return function()


def changes(function):
    try:
        return calls(function)
    except Exception as error:
        error.args = ("changed on its way",)
        raise error from None


def swaps(function):
    try:
        calls(function)
    except Exception as error:
        traceback = error.__traceback__
    raise LookupError("another, where the first was").with_traceback(traceback)
"""
# As if it were installed: only what leaves a library is looked at on its way.
library = {}
exec(compile(LIBRARY, "/nowhere/site-packages/library.py", "exec"), library)


def changed():
    try:
        key()
    except KeyError:
        return library["changes"](cause)


def swapped():
    return library["swaps"](key)


WAYS = [
    division, key, generator, c_code, cause, context, nested, missing_file, no_message, two_arguments, unicode_message,
    recursion, lambdas, changed, swapped,
]
BY_NAME = {way.__name__: way for way in WAYS}


def handled():
    """Exceptions that are caught are no errors."""
    for way in WAYS:
        try:
            way()
        except Exception:
            continue
    return "fine"
