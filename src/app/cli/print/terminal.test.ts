import { stripVTControlCharacters } from "node:util";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { PithError } from "../../../core/errors.ts";
import { replaceProgramName } from "../program.ts";
import { tableLines } from "./table.ts";
import { type Environment, progressLine, type Stream, Terminal } from "./terminal.ts";
import { markedColors, removeMarks } from "./terminal-escapes.ts";

class Memory implements Stream {
  text = "";
  readonly isTTY: boolean;
  readonly columns: number;
  constructor(isTTY: boolean, columns = 60) {
    this.isTTY = isTTY;
    this.columns = columns;
  }
  write(text: string): void {
    this.text += text;
  }
}

function terminal(
  options: { tty?: boolean; json?: boolean; env?: Environment; typed?: (text: string) => string } = {},
): { out: Memory; err: Memory; terminal: Terminal } {
  const { tty = false, json = false, env = {}, typed = (text: string) => text } = options;
  const [out, err] = [new Memory(tty), new Memory(tty)];
  return { out, err, terminal: new Terminal({ out, err, json, env, versions: "pith 1.2.3, linux", asTyped: typed }) };
}

test("prints command lines with `npx` if only npx finds Pith", () => {
  const { out, err, terminal: shown } = terminal({ typed: (text) => replaceProgramName(text, "npx pith") });
  shown.line("next: pith bench a.onnx b.onnx");
  shown.note("x", "`pith simplify` stores it");
  shown.printError(new PithError("E_USAGE", "Unknown command.", { hint: "See pith --help." }));
  expect(out.text).toBe("next: npx pith bench a.onnx b.onnx\n");
  expect(err.text).toBe("`npx pith simplify` stores it\nE_USAGE: Unknown command.\nhint: See npx pith --help.\n");
});

const escapeCode = "\u001b";

describe("errors", () => {
  const error = new PithError("E_DATA", "Row 3 is empty.", { hint: "Remove it." });

  test("are printed as code, sentence and hint on standard error", () => {
    const { out, err, terminal: shown } = terminal();
    shown.printError(error);
    expect(err.text).toBe("E_DATA: Row 3 is empty.\nhint: Remove it.\n");
    expect(out.text).toBe("");
  });

  test("are printed with the stack and a request to report if they are internal", () => {
    const { err, terminal: shown } = terminal();
    shown.printError(new TypeError("x is undefined"));
    expect(err.text).toMatch(/^internal: TypeError: x is undefined\n +at /);
    expect(err.text).toContain("Please report it, with the lines above and: pith 1.2.3, linux.");
  });

  test("are printed as one line of JSON with --json", () => {
    const { err, terminal: shown } = terminal({ json: true });
    shown.printError(error);
    expect(JSON.parse(err.text)).toEqual({ error: { code: "E_DATA", message: "Row 3 is empty.", hint: "Remove it." } });
    expect(err.text.trim()).not.toContain("\n");
  });
});

describe("progress", () => {
  const began = { kind: "stage", name: "calibrate" } as const;
  const step = { kind: "progress", done: 250, total: 500 } as const;

  test("is drawn from the start of a stage in one line of a terminal, which the next text replaces", () => {
    const { err, terminal: shown } = terminal({ tty: true, env: { NO_COLOR: "1" } });
    shown.showEvent(began);
    expect(err.text).toBe(`\r${escapeCode}[2Kcalibrate`);
    shown.showEvent(step);
    expect(err.text).toContain("\rcalibrate ━".replace("\r", `\r${escapeCode}[2K`));
    shown.showEvent({ kind: "log", id: "small-data", text: "few samples", level: "warning" });
    expect(err.text.endsWith(`\r${escapeCode}[2Ksmall-data: few samples\n`)).toBe(true);
    shown.showEvent({ kind: "log", id: "epoch", text: "epoch 1/3", level: "note" });
    expect(err.text.endsWith("\nepoch 1/3\n")).toBe(true);
    for (const line of err.text.split("\r")) expect(line.replace(`${escapeCode}[2K`, "").length).toBeLessThan(60);
  });

  test("is drawn with 80 columns on a terminal that reports 0", () => {
    const err = new Memory(true, 0);
    const shown = new Terminal({ out: err, err, json: false, env: { NO_COLOR: "1" }, versions: "" });
    shown.showEvent({ kind: "stage", name: "x".repeat(200) });
    shown.showEvent(step);
    expect(err.text.split(`\r${escapeCode}[2K`)).toContain("x".repeat(79));
  });

  test("is not printed in a pipe or with --json, but warnings are", () => {
    for (const options of [{}, { tty: true, json: true }]) {
      const { out, err, terminal: shown } = terminal(options);
      shown.showEvent(began);
      shown.showEvent(step);
      expect(out.text + err.text).toBe("");
      shown.showEvent({ kind: "log", id: "small-data", text: "few samples", level: "warning" });
      expect(err.text).toContain("few samples");
    }
  });

  test("shows the steps, the rate and the remaining time", () => {
    const half = { stage: "calibrate", done: 250, total: 500, rate: 50, seconds: 5, hasBar: true };
    expect(progressLine(half)).toBe("calibrate ━━━━━━━━━━━━──────────── 250/500  50/s  0:05 left");
    expect(progressLine({ ...half, hasBar: false })).toBe("calibrate 250/500  50/s  0:05 left");
    const slow = { stage: "", done: 1, total: 10, rate: 0.25, seconds: 4, hasBar: true };
    expect(progressLine(slow)).toBe("━━────────────────────── 1/10  4.0 s each  0:36 left");
    const open = { stage: "read", done: 1234, total: undefined, rate: 123, seconds: 10, hasBar: true };
    expect(progressLine(open)).toBe("read 1,234  123/s");
    expect(progressLine({ ...open, done: 0, total: 0, rate: 0, seconds: 0 })).toBe("read 0");
  });

  describe("over a long time", () => {
    beforeEach(() => {
      vi.useFakeTimers({ toFake: ["performance"] });
      vi.advanceTimersByTime(1);
    });
    afterEach(() => {
      vi.useRealTimers();
    });

    test("is logged every 20 seconds in a pipe, with rate, remaining time and loss", () => {
      const { err, terminal: shown } = terminal();
      shown.showEvent({ kind: "stage", name: "train" });
      for (let done = 0; done < 45; done++) {
        vi.advanceTimersByTime(1000);
        shown.showEvent({ kind: "progress", done, total: 100, figures: `loss 0.${done}` });
      }
      expect(err.text).toBe("train 19/100  1.0/s  1:21 left  loss 0.19\ntrain 39/100  1.0/s  1:01 left  loss 0.39\n");
    });

    test("has the rate of the new steps only after a resume", () => {
      const { err, terminal: shown } = terminal({ tty: true, env: { NO_COLOR: "1" } });
      shown.showEvent({ kind: "stage", name: "train" });
      for (const done of [901, 905]) {
        vi.advanceTimersByTime(4000);
        shown.showEvent({ kind: "progress", done, total: 1001 });
      }
      expect(err.text).toContain(" 905/1,001  1.0/s  1:36");
    });

    test.each([0, 16])("has the rate of the new steps after a stage that began at %i counts from 0 again", (first) => {
      const { err, terminal: shown } = terminal({ tty: true, env: { NO_COLOR: "1" } });
      shown.showEvent({ kind: "stage", name: "quantize" });
      for (const [done, total] of [
        [first, 100],
        [100, 100],
        [0, 53],
        [4, 53],
      ] as const) {
        vi.advanceTimersByTime(4000);
        shown.showEvent({ kind: "progress", done, total });
      }
      expect(err.text).not.toContain("-");
      expect(err.text).toContain(" 4/53  1.0/s  0:49");
    });

    test("shows a bar that counts from 0 again at once, and the remaining time from the second attempt on", () => {
      const { err, terminal: shown } = terminal({ tty: true, env: { NO_COLOR: "1" } });
      const report = (done: number, total: number) => {
        err.text = "";
        shown.showEvent({ kind: "progress", done, total });
        return err.text;
      };
      shown.showEvent({ kind: "stage", name: "fallback" });
      vi.advanceTimersByTime(1000);
      expect(report(20, 20)).toContain(" 20/20");
      expect(report(0, 6)).toContain(" 0/6");
      vi.advanceTimersByTime(30_000);
      expect(report(1, 6)).toContain(" 1/6  30.0 s each  2:30");
    });
  });
});

test.each([
  ["none without a terminal", false, {}, false],
  ["on a terminal", true, { TERM: "xterm-256color" }, true],
  ["none with NO_COLOR", true, { NO_COLOR: "1" }, false],
  ["if NO_COLOR is empty", true, { NO_COLOR: "" }, true],
  ["none on a terminal without colors", true, { TERM: "dumb" }, false],
  ["with FORCE_COLOR in a pipe", false, { FORCE_COLOR: "1" }, true],
  ["with FORCE_COLOR on a terminal without colors", true, { FORCE_COLOR: "1", TERM: "dumb" }, true],
  ["none with FORCE_COLOR=0", true, { FORCE_COLOR: "0" }, false],
  ["none with both variables", true, { FORCE_COLOR: "1", NO_COLOR: "1" }, false],
])("prints colors: %s", (_, tty, env, expected) => {
  const { out, err, terminal: shown } = terminal({ tty, env });
  shown.line(shown.color.bold("x"));
  shown.printError(new PithError("E_DATA", "Row 3 is empty."));
  expect([out.text, err.text].map((text) => text.includes(escapeCode))).toEqual([expected, expected]);
});

test("does not draw progress on a terminal that cannot erase a line", () => {
  const { err, terminal: shown } = terminal({ tty: true, env: { TERM: "dumb" } });
  shown.showEvent({ kind: "stage", name: "calibrate" });
  shown.showEvent({ kind: "progress", done: 250, total: 500 });
  shown.currentItem = "q8";
  shown.noteFinished("done");
  expect(err.text).toBe("q8: done\n");
});

test("a JSON document converts values that JSON does not support", () => {
  const { out, terminal: shown } = terminal({ json: true });
  shown.printJson({
    big: 5n,
    huge: 2n ** 60n,
    map: new Map([["a", 1]]),
    data: Float32Array.of(1, 2),
    none: Number.NaN,
  });
  expect(JSON.parse(out.text)).toEqual({
    big: 5,
    huge: "1152921504606846976",
    map: { a: 1 },
    data: [1, 2],
    none: null,
  });
});

test("aligns the columns of a table without counting color codes", () => {
  const lines = tableLines(
    [{ title: "file" }, { title: "MB", align: "right" }],
    [
      [markedColors(true).bold("m.onnx"), "90.4"],
      ["long.onnx", "3"],
    ],
  );
  expect(lines.map((line) => stripVTControlCharacters(removeMarks(line)))).toEqual([
    "file         MB",
    "m.onnx     90.4",
    "long.onnx     3",
  ]);
});

describe("names with escape sequences and line breaks", () => {
  const name = 'a\u001b[2J\u001b[32m\nE_OK: "b"\u202e\u200b';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the test searches for these characters
  const raw = /\u001b\[2J|\u001b\[32m|\nE_OK|[\u202e\u200b]/;

  test.each([false, true])("are escaped in results, notes and errors (json: %s)", (json) => {
    const { out, err, terminal: shown } = terminal({ tty: true, json });
    shown.line(`layer ${name}`);
    shown.table([{ title: "layer" }], [[shown.color.red(name)]]);
    shown.printJson({ [name]: name });
    shown.note("skipped", name, "warning");
    shown.note("skipped", name);
    shown.printError(new PithError("E_NAME", `No layer is called ${name}.`, { hint: name }));
    shown.printError(new TypeError("x\u001b[2J\u202e"));
    shown.showEvent({ kind: "output", text: "y\u001b[2J" });
    expect(out.text + err.text).not.toMatch(raw);
    expect(out.text).toContain("\\u001b[2J\\u001b[32m\\nE_OK");
  });

  test("are escaped in the progress line", () => {
    const { err, terminal: shown } = terminal({ tty: true });
    vi.useFakeTimers();
    shown.showEvent({ kind: "stage", name: `stage${name}` });
    vi.advanceTimersByTime(5000);
    shown.showEvent({ kind: "progress", done: 1, total: 2 });
    vi.useRealTimers();
    expect(err.text).toContain("stagea\\u001b[2J\\u001b[32m\\nE_OK");
    expect(err.text).not.toMatch(raw);
  });
});
