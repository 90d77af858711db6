import { Command } from "commander";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { PithError } from "../../../core/errors.ts";
import { factorize } from "../../../techniques/factorize/index.ts";
import { prune } from "../../../techniques/prune/index.ts";
import { checkFlags } from "./check-flags.ts";
import { addFlags, readFlags, separateFlagValues } from "./options.ts";

const schema = v.object({
  maxDrop: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(1), v.description("largest loss"))),
  bits: v.optional(v.pipe(v.picklist([2, 4, 8]), v.description("bits of a weight")), 8),
  blockSize: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1)), 32),
  scheme: v.optional(v.picklist(["static", "dynamic"])),
  layers: v.optional(v.array(v.string()), []),
  mean: v.optional(v.tuple([v.number(), v.number(), v.number()])),
  rank: v.optional(v.union([v.pipe(v.number(), v.integer()), v.literal("auto")])),
  symmetric: v.optional(v.boolean(), false),
  fuse: v.pipe(v.optional(v.boolean(), true), v.description("fuse pairs"), v.metadata({ negated: "keep pairs apart" })),
  settings: v.optional(v.record(v.string(), v.object({ bits: v.number() }))),
  tensors: v.optional(
    v.record(
      v.string(),
      v.custom<object>((value) => typeof value === "object"),
    ),
  ),
  score: v.optional(v.custom<() => number>((value) => typeof value === "function")),
  out: v.optional(v.pipe(v.string(), v.description("file to write"), v.metadata({ short: "-o", value: "file" }))),
});

function parse(words: readonly string[], options: v.GenericSchema = schema): unknown {
  const command = new Command("step").exitOverride().configureOutput({ writeErr: () => {}, outputError: () => {} });
  addFlags(command, options);
  command.parse([...words], { from: "user" });
  return readFlags(command, options);
}

function rejection(words: readonly string[], options?: v.GenericSchema): PithError {
  try {
    parse(words, options);
  } catch (error) {
    if (error instanceof PithError) return error;
    throw error;
  }
  throw new Error("was accepted");
}

function help(options: v.GenericSchema): string {
  const command = new Command("step").configureOutput({ getOutHelpWidth: () => 200 });
  addFlags(command, options);
  return command.helpInformation();
}

describe("flags from a schema", () => {
  test("name other options by their flags in the help", () => {
    const also = v.pipe(v.string(), v.description("with `blockSize`, unlike `quantize`"));
    const options = v.object({ blockSize: v.optional(v.number()), also: v.optional(also) });
    expect(help(options)).toContain("with --block-size, unlike `quantize`");
  });

  test("use the schema's defaults if none is given", () => {
    expect(parse([])).toEqual({ bits: 8, blockSize: 32, layers: [], symmetric: false, fuse: true });
  });

  test("are in kebab case and have typed values", () => {
    const words = "--max-drop .01 --bits 4 --block-size 64 --scheme static --symmetric --no-fuse -o a.onnx".split(" ");
    expect(parse(words)).toEqual({
      maxDrop: 0.01,
      bits: 4,
      blockSize: 64,
      scheme: "static",
      layers: [],
      symmetric: true,
      fuse: false,
      out: "a.onnx",
    });
  });

  test("convert percentages to exact fractions", () => {
    expect(parse(["--max-drop", "1%"])).toMatchObject({ maxDrop: 0.01 });
    for (const [text, share] of [
      ["99.9%", 0.999],
      ["7%", 0.07],
      ["33.3%", 0.333],
    ] as const)
      expect(parse(["--max-drop", text])).toMatchObject({ maxDrop: share });
  });

  test("accept lists with commas or by repetition", () => {
    expect(parse(["--layers", "a,b", "--layers", "c", "--bits", "4"])).toMatchObject({
      layers: ["a", "b", "c"],
      bits: 4,
    });
    expect(parse(["--mean", ".485, .456,.406"])).toMatchObject({ mean: [0.485, 0.456, 0.406] });
  });

  test("accept each form of a union", () => {
    expect(parse(["--rank", "16"])).toMatchObject({ rank: 16 });
    expect(parse(["--rank", "auto"])).toMatchObject({ rank: "auto" });
  });

  test("accept objects as JSON", () => {
    expect(parse(["--settings", '{"fc1": {"bits": 4}}'])).toMatchObject({ settings: { fc1: { bits: 4 } } });
  });

  test("include the flags of all members of a union of objects", () => {
    const amount = v.variant("method", [
      v.object({ method: v.literal("magnitude"), amount: v.number() }),
      v.object({ method: v.literal("random"), keep: v.optional(v.number(), 1) }),
    ]);
    expect(parse(["--method", "magnitude", "--amount", "50%"], amount)).toEqual({ method: "magnitude", amount: 0.5 });
  });

  test("show choices, defaults and value names in the help, if words can express the value", () => {
    const text = help(schema);
    expect(text).toContain("--bits <choice>");
    expect(text).toContain("bits of a weight (2, 4, 8; default 8)");
    expect(text).toContain("-o, --out <file>");
    expect(text).toMatch(/--no-fuse +keep pairs apart/);
    expect(text).not.toContain("score");
    expect(text).not.toContain("tensors");
  });

  test("keep the value name of an inner schema", () => {
    const folder = v.pipe(v.optional(v.string()), v.metadata({ value: "folder" }));
    const command = new Command();
    addFlags(command, v.object({ checkpoint: v.pipe(folder, v.description("where")) }));
    expect(command.helpInformation()).toMatch(/--checkpoint <folder> +where/);
  });
});

describe("a flag with an optional value", () => {
  const share = v.pipe(v.number(), v.minValue(0), v.maxValue(1));
  const cut = v.object({ structured: v.optional(v.union([v.boolean(), share]), false), amount: v.optional(share) });

  test("is true without a value, and accepts one that fits", () => {
    expect(parse([], cut)).toEqual({ structured: false });
    expect(parse(["--structured"], cut)).toEqual({ structured: true });
    expect(parse(["--structured", "--amount", "0.5"], cut)).toEqual({ structured: true, amount: 0.5 });
    expect(parse(["--structured", "30%"], cut)).toEqual({ structured: 0.3 });
    expect(help(cut)).toContain("--structured [n]");
  });

  test("leaves a word that is not a value to the arguments", () => {
    const command = new Command("step");
    addFlags(command, cut);
    const settled = (...words: string[]): string[] => separateFlagValues(command, words);
    expect(settled("--structured", "m.onnx")).toEqual(["--structured=true", "m.onnx"]);
    expect(settled("--structured", "0.3", "m.onnx")).toEqual(["--structured=0.3", "m.onnx"]);
    expect(settled("m.onnx", "--structured")).toEqual(["m.onnx", "--structured"]);
    expect(settled("--amount", "m.onnx")).toEqual(["--amount", "m.onnx"]);
    expect(settled("--structured", "-5%", "m.onnx")).toEqual(["--structured=-5%", "m.onnx"]);
    expect(settled("--structured", "--amount", "0.5")).toEqual(["--structured=true", "--amount", "0.5"]);
    expect(settled("--", "--structured", "m.onnx")).toEqual(["--", "--structured", "m.onnx"]);
    expect(command.parseOptions(settled("--structured", "m.onnx"))).toMatchObject({ operands: ["m.onnx"] });
    expect(command.getOptionValue("structured")).toBe(true);
  });

  test("is named if its value is out of range", () => {
    expect(rejection(["--structured", "3"], cut).message).toMatch(/^--structured: /);
  });
});

describe("an invalid flag", () => {
  test.each([
    [["--bits", "5"], "--bits: expected 2, 4 or 8, got 5."],
    [["--block-size", "1.5"], "--block-size: expected an integer, got 1.5."],
    [["--block-size", ""], '--block-size: expected a number, got "".'],
    [["--mean", "1,x,3"], '--mean: expected a number, got "x".'],
    [["--rank", "full"], '--rank: expected a number or "auto", got "full".'],
    [["--settings", "{"], '--settings: expected an object, got "{".'],
  ])("is rejected with its name: %j", (words, message) => {
    expect(rejection(words)).toMatchObject({ code: "E_OPTION", message });
  });

  test("is rejected for a value outside its range", () => {
    const error = rejection(["--max-drop", "-1"]);
    expect(error.code).toBe("E_OPTION");
    expect(error.message).toBe("--max-drop: expected at least 0, got -1.");
    expect(error.hint).toBe("See step --help.");
  });

  test("is rejected for a share above 1 without a percent sign", () => {
    expect(rejection(["--max-drop", "50"]).message).toBe("--max-drop: 50 exceeds 1 (100 %): write 50% or 0.5.");
    expect(rejection(["--max-drop", "1.3"]).message).toBe("--max-drop: 1.3 exceeds 1 (100 %): write 1.3% or 0.013.");
    expect(parse(["--max-drop", "1"])).toMatchObject({ maxDrop: 1 });
    expect(rejection(["--max-drop", "1e9"]).message).toBe("--max-drop: expected at most 100%, got 1e9.");
    expect(rejection(["--max-drop", "101%"]).message).toBe("--max-drop: expected at most 100%, got 101%.");
    expect(rejection(["--max-drop", "-1%"]).message).toBe("--max-drop: expected at least 0, got -0.01.");
  });

  test("is rejected for 1 if it could mean percent", () => {
    const least = v.object({ least: v.pipe(v.number(), v.maxValue(1), v.metadata({ percent: true })) });
    expect(rejection(["--least", "1"], least).message).toBe(
      "--least: 1 is ambiguous (1 % or all): write 1%, 0.01 or 100%.",
    );
    expect(rejection(["--least", "90"], least).message).toContain("write 90% or 0.9");
    expect(parse(["--least", "100%"], least)).toEqual({ least: 1 });
    expect(parse(["--least", "0.9"], least)).toEqual({ least: 0.9 });
  });

  test("is rejected for a mistyped choice, with the nearest one as hint", () => {
    expect(rejection(["--scheme", "statci"]).hint).toBe('Did you mean "static"?');
    expect(rejection(["--scheme", "other"]).hint).toBe("See step --help.");
  });

  test("is rejected for too few elements", () => {
    expect(rejection(["--mean", "1,2"]).message).toMatch(/^--mean: /);
  });

  test("is rejected if the schema requires it and it is missing", () => {
    expect(rejection([], v.object({ rank: v.pipe(v.number(), v.description("number of values")) }))).toMatchObject({
      code: "E_USAGE",
      message: "--rank is needed: number of values.",
    });
  });

  test.each([
    [v.object({ n: v.pipe(v.number(), v.maxValue(4)) }), { n: 5 }, "--n: expected at most 4, got 5."],
    [v.object({ n: v.pipe(v.number(), v.gtValue(0)) }), { n: 0 }, "--n: expected more than 0, got 0."],
    [v.object({ n: v.pipe(v.number(), v.integer()) }), { n: 0.5 }, "--n: expected an integer, got 0.5."],
    [v.object({ n: v.pipe(v.number(), v.minValue(1, "must be positive")) }), { n: 0 }, "--n: must be positive, got 0."],
    [factorize.options, { rank: 1, budget: 0.5 }, "Give at most one of `budget` and `rank`."],
    [prune.options, { amount: 0.5, structured: 0.5 }, "--amount is given twice: directly and with `structured`."],
  ])("is named in errors about options of a pass: %#", (schema, options, message) => {
    expect(() => checkFlags(schema, options, "See --help.")).toThrow(
      expect.objectContaining({ code: "E_OPTION", message, hint: "See --help." }),
    );
  });

  test("is not reported if the options of a pass are valid", () => {
    expect(() => checkFlags(factorize.options, { rank: 1 }, "")).not.toThrow();
  });
});
