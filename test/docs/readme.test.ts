/** Runs the program of the README on a small scale, and checks the recipes and command lines of all pages. */
import { execFile } from "node:child_process";
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { open, save } from "pith";
import { parseRecipe } from "pith/compress";
import { openDataset, preprocess, presets } from "pith/data";
import { createEngine } from "pith/engine";
import { accuracy, evaluate } from "pith/evaluate";
import { linear, network, relu } from "pith/nn";
import { train } from "pith/train";
import * as v from "valibot";
import { beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { galleryPage } from "../../scripts/gallery/page.ts";
import { parseBudgets } from "../../src/app/cli/commands/check/budgets.ts";
import { commands, type ListedCommand } from "../../src/app/cli/commands.ts";
import { runProgram } from "../../src/app/cli/program.ts";
import { pith } from "../app/cli/run.ts";
import { writeDigits } from "../examples/start.ts";
import { temporaryFolder } from "../temporary.ts";
import { codeBlocks, commandLines } from "./markdown.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
/** Pages of `docs/`. The benchmarks name flags of benches and of other tools. */
const guides = (await readdir(join(root, "docs"))).filter((name) => name.endsWith(".md") && name !== "benchmarks.md");
const files = await Promise.all(
  ["README.md", "skills/pith/SKILL.md", ...guides.map((name) => `docs/${name}`)].map(async (name) => ({
    name,
    text: await readFile(join(root, name), "utf8"),
  })),
);
const pages = [...files, { name: "the gallery", text: galleryPage() }];
const pageOf = (name: string): string => pages.find((page) => page.name === name)?.text ?? "";

describe("the program of the README", () => {
  const [program] = codeBlocks(pageOf("docs/programs.md"), "Prune, train, quantize, evaluate").filter(
    ({ language }) => language === "ts",
  );
  const counts = { train: 1000, test: 200 };
  /** `json` is the working folder of the program, with `mnist.onnx` and `mnist/`. `home` contains the program, so that it can import "pith". */
  let data = "";
  let home = "";
  let printed = "";

  beforeAll(async () => {
    const folder = temporaryFolder();
    await writeDigits(folder, counts);
    data = join(folder, "data");
    const input = { name: "input", type: { type: "float32", dims: [1, 784] } } as const;
    const digits = preprocess(await openDataset(join(data, "mnist"), { part: "train" }), input, presets.unit);
    const net = network(
      { fc1: linear(784, 16), relu: relu(), fc2: linear(16, 10) },
      { input: ["batch", 784], seed: 1 },
    );
    await train(net, { data: digits, epochs: 20 });
    await save(net, join(data, "mnist.onnx"));
    await mkdir(join(root, "out"), { recursive: true });
    home = temporaryFolder(join(root, "out"));
    await writeFile(join(home, "program.mts"), program?.text ?? "");
    const tsx = createRequire(import.meta.url).resolve("tsx/cli");
    const words = [tsx, "--conditions=pith-source", join(home, "program.mts")];
    printed = (await promisify(execFile)(process.execPath, words, { cwd: data })).stdout;
  });

  test("writes a smaller model with fewer channels and 8-bit weights", async () => {
    const [before, after] = await Promise.all(["mnist.onnx", "mnist.small.onnx"].map((name) => stat(join(data, name))));
    expect(after?.size).toBeLessThan((before?.size ?? 0) / 3);
    const { graph } = await open(join(data, "mnist.small.onnx"));
    expect([...graph.nodes()].map(({ op }) => op)).toContain("DequantizeLinear");
    const weights = [...graph.values()].flatMap(({ tensor }) => (tensor?.dims.length === 2 ? [tensor] : []));
    expect(weights.map(({ type }) => type)).toEqual(["int8", "int8"]);
    const [first = [], second = []] = weights.map(({ dims }) => dims);
    const [channels = 16] = first.filter((dim) => second.includes(dim));
    expect(channels).toBeLessThan(16);
  });

  test("prints the accuracy of the written file on all test digits, with its interval", async () => {
    const numbers = Object.fromEntries(
      [...printed.matchAll(/(value|low|high|count|confidence): ([\d.]+)/g)].map(([, name = "", number]) => [
        name,
        Number(number),
      ]),
    );
    const input = { name: "input", type: { type: "float32", dims: [1, 784] } } as const;
    const test = preprocess(await openDataset(join(data, "mnist"), { part: "test" }), input, presets.unit);
    const small = await open(join(data, "mnist.small.onnx"));
    const { estimate } = await evaluate(createEngine(), small, test, accuracy());
    expect(numbers).toEqual({ ...estimate });
    expect(numbers.count).toBe(counts.test);
    expect(numbers.value).toBeGreaterThan(0.6);
  });
});

describe("files in YAML on the pages", () => {
  const files = pages.flatMap(({ name, text }) =>
    codeBlocks(text).flatMap((block) => (block.language === "yaml" ? [{ name, text: block.text }] : [])),
  );
  const [budgets, workflows] = ["# pith.check.yaml\n", "# .github/workflows/"].map((start) =>
    files.filter(({ text }) => text.startsWith(start)),
  );
  const recipes = files.filter((file) => budgets?.includes(file) === false && workflows?.includes(file) === false);

  test.each(budgets ?? [])("budgets of $name", ({ name, text }) => {
    expect(parseBudgets(text, name).length).toBeGreaterThan(0);
  });

  test.each(workflows ?? [])("the workflow of $name uses the action", ({ text }) => {
    expect(parse(text)).toMatchObject({
      jobs: { models: { steps: expect.arrayContaining([{ uses: expect.stringContaining("/pith@") }]) } },
    });
  });

  test("exist", () => expect(recipes.length).toBeGreaterThan(9));

  test.each(recipes)("$name: $text", ({ name, text }) => {
    expect(parseRecipe(text, name).steps.length).toBeGreaterThan(0);
  });
});

/** Flags of other programs on the pages. */
const foreign = new Set([
  "--conditions",
  "--draws",
  "--ignore-scripts",
  "--logdir",
  "--no-install",
  "--omit",
  "--save-dev",
  "--under",
  "--yes",
]);

describe("command lines on the pages", () => {
  const lines = pages.flatMap(({ name, text }) =>
    commandLines(text).map(({ words, comment }) => [name, words.join(" "), words, comment] as const),
  );

  test("set the preprocessing of photos in the README, because photos can lack labels", () => {
    const photos = commandLines(pageOf("README.md")).filter(({ words }) => words.includes("photos/"));
    expect(photos.map(({ words: [name] }) => name)).toEqual(["quantize", "compress"]);
    for (const { words } of photos) expect(words).toContain("--preprocess");
  });

  test("include every command on the command page", () => {
    const shown = new Set(commandLines(pageOf("docs/cli.md")).map(({ words: [name] }) => name));
    expect(commands.map(({ name }) => name).filter((name) => !shown.has(name))).toEqual([]);
  });

  test.each(lines)("%s: npx pith %s", async (_, __, words, comment) => {
    expect(await understood(words)).toBe("");
    const flags = comment.match(/--[\w-]+/g) ?? [];
    const help = flags.length === 0 ? "" : (await pith(words[0] ?? "", "--help-all")).out;
    for (const flag of flags) expect(help, `${flag} in the comment`).toContain(flag);
  });

  test("every flag on a page belongs to a command", async () => {
    const helps = await Promise.all(commands.map(async ({ name }) => (await pith(name, "--help-all")).out));
    const flags = new Set([...helps, (await pith("--help")).out].join("\n").match(/--[a-z][\w-]*/g));
    for (const { name, text } of pages) {
      const named = (text.match(/(?<![\w-])--[a-z][\w-]*/g) ?? []).filter(
        // A flag such as --min-… is an abbreviation of several.
        (flag) => !foreign.has(flag) && !flag.endsWith("-"),
      );
      expect(
        named.filter((flag) => !flags.has(flag)),
        name,
      ).toEqual([]);
    }
  });

  test.each([
    ["a command that there is not", "shrink model.onnx", /shrink/],
    ["a flag that there is not", "prune model.onnx --amounts 50%", /--amounts/],
    ["a value that does not fit", "quantize model.onnx --scheme int3", /int3/],
    ["a number out of its range", "factorize model.onnx --budget 2", /budget/],
    ["a word too many", "prune model.onnx other.onnx --amount 50%", /argument/],
    ["no model", "train --data mnist/", /model\.onnx/],
  ])("reports %s", async (_, line, sentence) => {
    expect(await understood(line.split(" "))).toMatch(sentence);
  });
});

/** Returns the error that a command line causes before the command starts its work; "" if there is none. */
async function understood(words: readonly string[]): Promise<string> {
  let output = "";
  const stream = {
    write(text: string): void {
      output += text;
    },
  };
  const signal = new AbortController().signal;
  // A model of the Hub would be downloaded.
  const localWords = words.map((word) => word.replace(/^hf:[\w-]+\//, ""));
  const code = await runProgram(localWords, { out: stream, err: stream, signal, commands: commands.map(idle) });
  return code === 0 ? "" : output;
}

/** Returns a command that only checks its options. */
function idle(listed: ListedCommand): ListedCommand {
  return {
    ...listed,
    async load() {
      const { default: definition } = await listed.load();
      const { passSchema, omittedKeys = [] } = definition;
      return {
        default: {
          ...definition,
          async run(_, options, session) {
            // Commands that process a whole folder check their options themselves.
            const isOwn = Object.keys(session.passOptions).length === 0 && definition.isWholeFolder?.(options) === true;
            const issues =
              passSchema === undefined || isOwn ? [] : (v.safeParse(passSchema, session.passOptions).issues ?? []);
            // The command, not the flags, sets reserved options, so their issues and those of option combinations are ignored.
            const ownIssues = issues.filter(({ path }) =>
              path === undefined ? omittedKeys.length === 0 : !omittedKeys.includes(String(path[0]?.key)),
            );
            if (ownIssues.length > 0)
              throw new Error(ownIssues.map((issue) => `${v.getDotPath(issue)}: ${issue.message}`).join("\n"));
            return { json: {}, print: () => {} };
          },
        },
      };
    },
  };
}
