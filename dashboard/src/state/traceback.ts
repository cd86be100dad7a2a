/** Marks the lines of a Python traceback, so that the app's own frames stand out from libraries. */

export type LineKind = "app" | "lib" | "raise" | "note";
export interface TracebackLine {
  text: string;
  kind: LineKind;
}

const LIBRARY = /site-packages|dist-packages|lib\/python\d|<frozen /;

/** Splits a traceback into lines with their kind. A frame is its `File` line and the more deeply indented ones after it. */
export function mark(traceback: string): TracebackLine[] {
  let frame: LineKind = "note";
  return traceback
    .replace(/\n+$/, "")
    .split("\n")
    .map((text) => {
      if (/^\s+File "/.test(text)) frame = LIBRARY.test(text) ? "lib" : "app";
      else if (/^\S/.test(text)) frame = /^(Traceback|The above|During handling)/.test(text) ? "note" : "raise";
      return { text, kind: frame };
    });
}
