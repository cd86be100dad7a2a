/** A modal dialog: the browser's own, which keeps the focus inside and closes on Esc. */

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";

export function Dialog({
  title,
  close,
  children,
  side,
  extra,
}: {
  title: ComponentChildren;
  close: () => void;
  children: ComponentChildren;
  side?: boolean;
  extra?: ComponentChildren;
}): JSX.Element {
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const before = document.activeElement;
    element.current?.showModal();
    return () => {
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={element}
      class={side ? "side" : undefined}
      aria-labelledby="dialog-title"
      onCancel={(event) => {
        event.preventDefault();
        close();
      }}
      onClick={(event) => {
        if (event.target === element.current) close();
      }}
    >
      <div class="sheet">
        <header>
          <h2 id="dialog-title" class="grow">
            {title}
          </h2>
          {extra}
          <button type="button" class="button" onClick={close}>
            Close <kbd>Esc</kbd>
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}
