import { expect, test } from "vitest";
import { ago, bytes, count, ms, msParts, num, pct, windowName, windowWords } from "../../src/format";

test.each([
  [0, "0"],
  [20 / 604_800, "<0.0001"],
  [0.004, "0.004"],
  [0.42, "0.42"],
  [0.5, "0.5"],
  [7.456, "7.46"],
  [10, "10"],
  [18.44, "18.4"],
  [100.4, "100"],
  [999.6, "1000"],
  [12_430.4, "12,430"],
  [-3.2, "-3.2"],
  [null, "–"],
  [undefined, "–"],
  [Number.NaN, "–"],
  [Number.POSITIVE_INFINITY, "–"],
])("num(%s) = %s", (value, text) => expect(num(value)).toBe(text));

test.each([
  [0, "0"],
  [99_999, "99,999"],
  [100_000, "100k"],
  [1_250_000, "1.25M"],
  [3e9, "3G"],
  [null, "–"],
])("count(%s) = %s", (value, text) => expect(count(value)).toBe(text));

test.each([
  [0, "0 ms"],
  [0.4, "0.4 ms"],
  [999.4, "999 ms"],
  [999.6, "1 s"],
  [1250, "1.25 s"],
  [59_970, "1 min 0 s"],
  [119_600, "2 min 0 s"],
  [125_000, "2 min 5 s"],
  [null, "–"],
])("ms(%s) = %s", (value, text) => expect(ms(value)).toBe(text));
test("a duration's parts join to the whole", () => expect(msParts(142).join(" ")).toBe(ms(142)));

// A failure among a million must not read as none, nor one success among failures as total failure.
test.each([
  [0, "0%"],
  [0.000_001, "<0.01%"],
  [0.003_2, "0.32%"],
  [0.125, "12.5%"],
  [0.999_99, ">99.99%"],
  [0.9996, "99.96%"],
  [1, "100%"],
  [null, "–"],
])("pct(%s) = %s", (value, text) => expect(pct(value)).toBe(text));

test.each([
  [0, "0 B"],
  [1023, "1,023 B"],
  [1536, "1.5 KiB"],
  [8_388_608, "8 MiB"],
])("bytes(%s) = %s", (value, text) => expect(bytes(value)).toBe(text));

test.each([
  [60, "1m", "the last minute"],
  [900, "15m", "the last 15 minutes"],
  [3600, "1h", "the last hour"],
  [86_400, "24h", "the last 24 hours"],
  [604_800, "7d", "the last 7 days"],
])("window %s", (seconds, name, words) => {
  expect(windowName(seconds)).toBe(name);
  expect(windowWords(seconds)).toBe(words);
});

test.each([
  [1000, "now"],
  [988, "12 s ago"],
  [700, "5 min ago"],
  [-6200, "2 h ago"],
  [1005, "now"],
  [null, "–"],
])("ago(%s)", (ts, text) => expect(ago(ts, 1000)).toBe(text));
