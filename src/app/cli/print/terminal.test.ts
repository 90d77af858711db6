import { stripVTControlCharacters } from "node:util";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { PithError } from "../../../core/errors.ts";
import { replaceProgramName } from "../program.ts";
import { markedColors, removeMarks } from "./printable.ts";
import { tableLines } from "./table.ts";
import { type Environment, progressLine, type Stream, Terminal } from "./terminal.ts";

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
): {
  out: Memory;
  err: Memory;
  terminal: Terminal;
} {
  const { tty = false, json = false, env = {}, typed = (text: string) => text } = options;
  const [out, err] = [new Memory(tty), new Memory(tty)];
  return { out, err, terminal: new Terminal({ out, err, json, env, about: "pith 1.2.3, linux", typed }) };
}

test("command lines in results, notes and errors can be typed, also where only npx finds Pith", () => {
  const { out, err, terminal: shown } = terminal({ typed: (text) => replaceProgramName(text, "npx pith") });
  shown.line("next: pith bench a.onnx b.onnx");
  shown.note("x", "`pith simplify` stores it");
  shown.fail(new PithError("E_USAGE", "Unknown command.", { hint: "See pith --help." }));
  expect(out.text).toBe("next: npx pith bench a.onnx b.onnx\n");
  expect(err.text).toBe("`npx pith simplify` stores it\nE_USAGE: Unknown command.\nhint: See npx pith --help.\n");
});

const escapeCode = "\u001b";

describe("errors", () => {
  const error = new PithError("E_DATA", "Row 3 is empty.", { hint: "Remove it." });

  test("are code, sentence and hint on standard error", () => {
    const { out, err, terminal: shown } = terminal();
    shown.fail(error);
    expect(err.text).toBe("E_DATA: Row 3 is empty.\nhint: Remove it.\n");
    expect(out.text).toBe("");
  });

  test("that are faults of the program carry the stack and ask for a report", () => {
    const { err, terminal: shown } = terminal();
    shown.fail(new TypeError("x is undefined"));
    expect(err.text).toMatch(/^internal: TypeError: x is undefined\n +at /);
    expect(err.text).toContain("Please report it, with the lines above and: pith 1.2.3, linux.");
  });

  test("are one JSON line with --json", () => {
    const { err, terminal: shown } = terminal({ json: true });
    shown.fail(error);
    expect(JSON.parse(err.text)).toEqual({ error: { code: "E_DATA", message: "Row 3 is empty.", hint: "Remove it." } });
    expect(err.text.trim()).not.toContain("\n");
  });
});

describe("progress", () => {
  const began = { kind: "stage", name: "calibrate" } as const;
  const step = { kind: "progress", done: 250, total: 500 } as const;

  test("is drawn on a terminal, in one line that the next text replaces", () => {
    const { err, terminal: shown } = terminal({ tty: true, env: { NO_COLOR: "1" } });
    shown.event(began);
    shown.event(step);
    expect(err.text).toContain("\rcalibrate ━".replace("\r", `\r${escapeCode}[2K`));
    shown.event({ kind: "log", id: "small-data", text: "few samples", level: "warning" });
    expect(err.text.endsWith(`\r${escapeCode}[2Ksmall-data: few samples\n`)).toBe(true);
    shown.event({ kind: "log", id: "epoch", text: "epoch 1/3", level: "note" });
    expect(err.text.endsWith("\nepoch 1/3\n")).toBe(true);
    for (const line of err.text.split("\r")) expect(line.replace(`${escapeCode}[2K`, "").length).toBeLessThan(60);
  });

  test("is drawn on a terminal that says it is 0 columns wide as on one of 80", () => {
    const err = new Memory(true, 0);
    const shown = new Terminal({ out: err, err, json: false, env: { NO_COLOR: "1" }, about: "" });
    shown.event({ kind: "stage", name: "x".repeat(200) });
    shown.event(step);
    expect(err.text).toBe(`\r${escapeCode}[2K${"x".repeat(79)}`);
  });

  test("is silent in a pipe and with --json, remarks are not", () => {
    for (const options of [{}, { tty: true, json: true }]) {
      const { out, err, terminal: shown } = terminal(options);
      shown.event(began);
      shown.event(step);
      expect(out.text + err.text).toBe("");
      shown.event({ kind: "log", id: "small-data", text: "few samples", level: "warning" });
      expect(err.text).toContain("few samples");
    }
  });

  test("says how much is done, how fast, and what is left", () => {
    const half = { stage: "calibrate", done: 250, total: 500, rate: 50, seconds: 5, bar: true };
    expect(progressLine(half)).toBe("calibrate ━━━━━━━━━━━━──────────── 250/500  50/s  0:05 left");
    expect(progressLine({ ...half, bar: false })).toBe("calibrate 250/500  50/s  0:05 left");
    const slow = { stage: "", done: 1, total: 10, rate: 0.25, seconds: 4, bar: true };
    expect(progressLine(slow)).toBe("━━────────────────────── 1/10  4.0 s each  0:36 left");
    const open = { stage: "read", done: 1234, total: undefined, rate: 123, seconds: 10, bar: true };
    expect(progressLine(open)).toBe("read 1,234  123/s");
    expect(progressLine({ ...open, done: 0, total: 0, rate: 0, seconds: 0 })).toBe("read 0");
  });

  describe("of long work", () => {
    beforeEach(() => {
      vi.useFakeTimers({ toFake: ["performance"] });
      vi.advanceTimersByTime(1);
    });
    afterEach(() => {
      vi.useRealTimers();
    });

    test("is a line now and then in a log: stage, steps, rate, what is left, and the figures", () => {
      const { err, terminal: shown } = terminal();
      shown.event({ kind: "stage", name: "train" });
      for (let done = 0; done < 45; done++) {
        vi.advanceTimersByTime(1000);
        shown.event({ kind: "progress", done, total: 100, figures: `loss 0.${done}` });
      }
      expect(err.text).toBe("train 19/100  1.0/s  1:21 left  loss 0.19\ntrain 39/100  1.0/s  1:01 left  loss 0.39\n");
    });

    test("that is continued is not as fast as if all of it had been done now", () => {
      const { err, terminal: shown } = terminal({ tty: true, env: { NO_COLOR: "1" } });
      shown.event({ kind: "stage", name: "train" });
      for (const done of [901, 905]) {
        vi.advanceTimersByTime(4000);
        shown.event({ kind: "progress", done, total: 1001 });
      }
      expect(err.text).toContain(" 905/1,001  1.0/s  1:36");
    });

    test("that counts from 0 again within its stage has no negative rate", () => {
      const { err, terminal: shown } = terminal({ tty: true, env: { NO_COLOR: "1" } });
      shown.event({ kind: "stage", name: "quantize" });
      for (const [done, total] of [
        [16, 100],
        [100, 100],
        [0, 53],
        [4, 53],
      ] as const) {
        vi.advanceTimersByTime(4000);
        shown.event({ kind: "progress", done, total });
      }
      expect(err.text).not.toContain("-");
      expect(err.text).toContain(" 4/53  1.0/s  0:49");
    });
  });
});

test.each([
  ["none where there is no terminal", false, {}, false],
  ["on a terminal", true, { TERM: "xterm-256color" }, true],
  ["none with NO_COLOR", true, { NO_COLOR: "1" }, false],
  ["although NO_COLOR is there, which is empty", true, { NO_COLOR: "" }, true],
  ["none on a terminal that has none", true, { TERM: "dumb" }, false],
  ["with FORCE_COLOR in a pipe", false, { FORCE_COLOR: "1" }, true],
  ["with FORCE_COLOR on a terminal that says it has none", true, { FORCE_COLOR: "1", TERM: "dumb" }, true],
  ["none with FORCE_COLOR=0", true, { FORCE_COLOR: "0" }, false],
  ["none with both", true, { FORCE_COLOR: "1", NO_COLOR: "1" }, false],
])("colours: %s", (_, tty, env, expected) => {
  const { out, err, terminal: shown } = terminal({ tty, env });
  shown.line(shown.color.bold("x"));
  shown.fail(new PithError("E_DATA", "Row 3 is empty."));
  expect([out.text, err.text].map((text) => text.includes(escapeCode))).toEqual([expected, expected]);
});

test("on a terminal that cannot erase a line, progress is as in a log", () => {
  const { err, terminal: shown } = terminal({ tty: true, env: { TERM: "dumb" } });
  shown.event({ kind: "stage", name: "calibrate" });
  shown.event({ kind: "progress", done: 250, total: 500 });
  shown.part = "q8";
  shown.finished("done");
  expect(err.text).toBe("q8: done\n");
});

test("a JSON document holds what JSON has no form for", () => {
  const { out, terminal: shown } = terminal({ json: true });
  shown.document({ big: 5n, huge: 2n ** 60n, map: new Map([["a", 1]]), data: Float32Array.of(1, 2), none: Number.NaN });
  expect(JSON.parse(out.text)).toEqual({
    big: 5,
    huge: "1152921504606846976",
    map: { a: 1 },
    data: [1, 2],
    none: null,
  });
});

test("a table aligns its columns and takes no room for colour codes", () => {
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

describe("names that hold escape sequences and line ends are printed escaped", () => {
  const name = 'a\u001b[2J\u001b[32m\nE_OK: "b"\u202e\u200b';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  const raw = /\u001b\[2J|\u001b\[32m|\nE_OK|[\u202e\u200b]/;

  test.each([false, true])("in results, remarks and errors (json: %s)", (json) => {
    const { out, err, terminal: shown } = terminal({ tty: true, json });
    shown.line(`layer ${name}`);
    shown.table([{ title: "layer" }], [[shown.color.red(name)]]);
    shown.document({ [name]: name });
    shown.note("skipped", name, "warning");
    shown.note("skipped", name);
    shown.fail(new PithError("E_NAME", `No layer is called ${name}.`, { hint: name }));
    shown.fail(new TypeError("x\u001b[2J\u202e"));
    shown.event({ kind: "output", text: "y\u001b[2J" });
    expect(out.text + err.text).not.toMatch(raw);
    expect(out.text).toContain("\\u001b[2J\\u001b[32m\\nE_OK");
  });

  test("in the progress line", () => {
    const { err, terminal: shown } = terminal({ tty: true });
    vi.useFakeTimers();
    shown.event({ kind: "stage", name: `stage${name}` });
    vi.advanceTimersByTime(5000);
    shown.event({ kind: "progress", done: 1, total: 2 });
    vi.useRealTimers();
    expect(err.text).toContain("stagea\\u001b[2J\\u001b[32m\\nE_OK");
    expect(err.text).not.toMatch(raw);
  });
});
