/** Tests the program from words to exit code, with commands for these tests. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { commands } from "../../../src/app/cli/commands.ts";
import { metricNames } from "../../../src/app/cli/flags/metrics.ts";
import { describeStoppedStage, exitCodes, runProgram } from "../../../src/app/cli/program.ts";
import { PithError } from "../../../src/core/errors.ts";
import { pith } from "./failing.ts";

/** Returns the help of one of Pith's commands as it is printed. */
async function help(name: string, flag = "--help-all"): Promise<string> {
  return (await pith(`${name} ${flag}`, undefined, commands)).out;
}

test.each(["--version", "-v", "-V"])("%s prints the version", async (flag) => {
  const { code, out } = await pith(flag);
  expect({ code, out }).toEqual({ code: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
});

describe("a command", () => {
  test("prints its result on standard output and exits with 0", async () => {
    expect(await pith("scale 1 2.5")).toEqual({ code: exitCodes.ok, out: "2 5\n", err: "" });
  });

  test("prints one JSON document with --json at any position", async () => {
    for (const line of ["scale 1 2 --json --seed 7", "scale --json --seed 7 1 2"]) {
      const { code, out, err } = await pith(line);
      expect({ code, err }).toEqual({ code: 0, err: "" });
      expect(JSON.parse(out)).toEqual({ values: [2, 4], seed: 7 });
    }
  });

  test("prints the result and exits with 1 if it misses its goal", async () => {
    expect(await pith("scale 1 --goal 100")).toEqual({ code: exitCodes.failed, out: "2\n", err: "" });
  });

  test("prints the result and the failure if it fails with a result, also with --json", async () => {
    expect(await pith("fail late")).toEqual({
      code: exitCodes.failed,
      out: "tried: 3\n",
      err: "E_ACCURACY_LOST: Nothing was written.\n",
    });
    const { code, out, err } = await pith("fail late --json");
    expect(code).toBe(exitCodes.failed);
    expect(JSON.parse(out)).toEqual({ tried: 3 });
    expect(JSON.parse(err)).toEqual({ error: { code: "E_ACCURACY_LOST", message: "Nothing was written." } });
  });

  test("prints its arguments, flags and examples with --help", async () => {
    const { code, out } = await pith("scale --help");
    expect(code).toBe(0);
    for (const part of ["pith scale", "<numbers...>", "--bits", "--goal", "--json", "--seed", "$ pith scale 1 2"]) {
      expect(out).toContain(part);
    }
  });
});

test("help and hints name the program as the user started it", async () => {
  const text = { out: "", err: "" };
  const stream = (name: "out" | "err") => ({
    write: (more: string) => {
      text[name] += more;
    },
  });
  const surroundings = { out: stream("out"), err: stream("err"), signal: new AbortController().signal };
  for (const line of ["inspect --help", "inspct", "inspect --wholly-other"])
    await runProgram(line.split(" "), { ...surroundings, program: "npx pith" });
  expect(text.out).toMatch(/^Usage: npx pith inspect .*\n {2}\$ npx pith inspect model\.onnx\n/s);
  expect(text.err).toContain("hint: See npx pith inspect --help.");
});

describe("help of the commands", () => {
  const sectionsOf = (text: string): readonly string[] =>
    text.split("\n\n").filter((section) => /^.*:\n +-/.test(section));
  const optionsOf = (section: string): readonly string[] => section.split(/\n(?= {2}-)/).slice(1);
  const names = commands.map(({ name }) => name);

  test.each(names)("%s --help-all has at most two lines per option, evaluation and data last", async (name) => {
    const sections = sectionsOf(await help(name));
    const titles = sections.map((section) => section.split("\n")[0] ?? "");
    const last = titles.filter((title) => /^(Evaluation|Data)/.test(title));
    expect(titles[0]).toBe("Options:");
    expect(titles.slice(titles.length - last.length)).toEqual(last);
    expect(sections.flatMap(optionsOf).filter((option) => option.split("\n").length > 2)).toEqual([]);
  });

  test.each(names)("%s --help lists at most 16 options, and how many more there are", async (name) => {
    const [short, full] = [await help(name, "--help"), await help(name)];
    const sections = sectionsOf(short);
    const [shown, all] = [sections, sectionsOf(full)].map((each) => each.flatMap(optionsOf).length);
    expect(shown).toBeLessThanOrEqual(16);
    const count = Number(/More options: (\d+)\. See pith [\w-]+ --help-all\.\n/.exec(short)?.[1] ?? 0);
    expect((shown ?? 0) + count).toBe(all);
    if (count > 0) expect(sections).toHaveLength(1);
  });

  test("--help-all of the program equals its help", async () => {
    expect(await pith("--help-all")).toEqual(await pith("--help"));
  });

  test("has the width of 80 columns on a terminal that reports 0", async () => {
    expect(await pith("prune --help", undefined, commands, 0)).toEqual(
      await pith("prune --help", undefined, commands, 80),
    );
  });

  test("names an existing page, and a page for each technique", async () => {
    const pages = await Promise.all(
      commands.map(async ({ name }) => /\nGuide: docs\/(.*)\n/.exec(await help(name))?.[1]),
    );
    for (const page of pages)
      if (page !== undefined) expect(existsSync(new URL(`../../../docs/${page}`, import.meta.url))).toBe(true);
    expect(await help("prune")).toMatch(/\n\nGuide: docs\/pruning\.md\n$/);
    for (const page of ["quantization.md", "distillation.md", "low-rank.md", "training.md"])
      expect(pages).toContain(page);
  });

  test("lists every metric that --metric accepts", async () => {
    const text = await help("eval");
    const listing = text.slice(text.indexOf("Metrics (--metric)"));
    for (const metric of metricNames) expect(listing).toMatch(new RegExp(`[ ,]${metric}(,|;|$)`, "m"));
  });

  test("begins with compress, and ends with an example", async () => {
    const { out } = await pith("--help", undefined, commands);
    expect(out).toMatch(/\n\nStart here:\n {2}compress .*\nSingle steps:\n.*\nMeasure:\n.*\nShare and automate:\n/s);
    expect(out).toMatch(/\n\nExample:\n {2}\$ pith compress .*\n$/);
  });

  test("names required options", async () => {
    const text = (await help("recover")).replace(/\s+/g, " ");
    expect(text).toContain("--original <original.onnx> the model before compression (required)");
    expect(text).toMatch(/--data <path> .{0,120}\(required\)/);
  });
});

describe("wrong usage", () => {
  test.each([
    ["scale 1 --bts 4", "E_USAGE: Unknown option '--bts'.\nhint: Did you mean --bits?\n"],
    ["scale 1 --bits 5", "E_OPTION: --bits: expected 4 or 8, got 5.\n"],
    ["scale 1 --bits", "E_USAGE: Option '--bits <choice>' argument missing.\nhint: See pith scale --help.\n"],
    ["scale", "E_USAGE: Missing required argument 'numbers'.\nhint: See pith scale --help.\n"],
    ["scale 1 --seed -3", "E_OPTION: --seed: "],
    ["fail a b", "E_USAGE: Too many arguments for 'fail'. Expected 1 argument but got 2.\n"],
    ["scal 1", "E_USAGE: Unknown command 'scal'.\nhint: Did you mean scale?\n"],
    ["scal --help", "E_USAGE: Unknown command 'scal'.\nhint: Did you mean scale?\n"],
    ["help nothing", "E_USAGE: Unknown command 'nothing'.\nhint: See pith --help.\n"],
    ["--jason", "E_USAGE: Unknown option '--jason'.\n"],
  ])("exits with 2 and a hint: pith %s", async (line, message) => {
    const { code, out, err } = await pith(line);
    expect({ code, out }).toEqual({ code: exitCodes.usage, out: "" });
    expect(err.startsWith(message) ? message : err).toBe(message);
  });

  test("without a command prints the help on standard error", async () => {
    const { code, out, err } = await pith("");
    expect({ code, out }).toEqual({ code: exitCodes.usage, out: "" });
    expect(err).toContain("Commands:");
  });

  test("is printed as JSON with --json", async () => {
    const { code, out, err } = await pith("scale 1 --bts 4 --json");
    expect({ code, out }).toEqual({ code: exitCodes.usage, out: "" });
    expect(JSON.parse(err)).toEqual({
      error: { code: "E_USAGE", message: "Unknown option '--bts'.", hint: "Did you mean --bits?" },
    });
  });
});

describe("a failure", () => {
  test("of a job exits with 1 and prints code and hint", async () => {
    expect(await pith("fail pith-error")).toEqual({
      code: exitCodes.failed,
      out: "",
      err: 'E_DATA: Row 3: column "x" holds "a", expected a number.\nhint: Remove the row.\n',
    });
  });

  test("inside of Pith exits with 1 and asks for a report", async () => {
    const { code, err } = await pith("fail fault");
    expect(code).toBe(exitCodes.failed);
    expect(err).toMatch(/^internal: TypeError: a fault\n/);
    expect(err).toContain("Please report it");
  });
});

test("names the requested command if its additional work was stopped", () => {
  const error = new PithError("E_STOPPED", "The evaluation was stopped.");
  expect(describeStoppedStage(error, "train", "original")).toMatchObject({
    code: "E_STOPPED",
    message: "train was stopped while measuring the original.",
  });
  expect(describeStoppedStage(error, "eval", "evaluate")).toBe(error);
  const training = new PithError("E_STOPPED", "Stopped after 3 steps.");
  expect(describeStoppedStage(training, "train", "train")).toBe(training);
  const other = new PithError("E_DATA", "There are no samples.");
  expect(describeStoppedStage(other, "train", "original")).toBe(other);
});

test("the list of commands has the name and summary of each command", async () => {
  for (const { name, summary, load } of commands) {
    const { default: definition } = await load();
    expect({ name: definition.name, summary: definition.summary }).toEqual({ name, summary });
    expect(definition.examples.every((line) => `${line} `.startsWith(`${name} `))).toBe(true);
  }
});

test("only the command line throws E_USAGE, not the library", () => {
  const sources = readdirSync("src", { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"));
  const throwing = sources.filter((file) => readFileSync(`src/${file}`, "utf8").includes('PithError("E_USAGE"'));
  expect(throwing.length).toBeGreaterThan(0);
  expect(throwing.filter((file) => !file.startsWith("app/cli/"))).toEqual([]);
});
