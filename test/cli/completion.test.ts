/** Runs the completion script in each shell that is installed. The script asks the program for words. */
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../temporary.ts";
import { pith, program } from "./run.ts";

/** The words that are offered for the last one. */
async function offered(...words: string[]): Promise<string[]> {
  const { code, out, err } = await pith("complete", "--", ...words);
  expect({ code, err }).toEqual({ code: 0, err: "" });
  return out.split("\n").flatMap((line) => (line === "" ? [] : [line.split("\t")[0] ?? ""]));
}

describe("pith complete", () => {
  test("offers commands with their descriptions", async () => {
    expect(await offered("")).toEqual(expect.arrayContaining(["inspect", "quantize", "train", "completion", "help"]));
    expect(await offered("qu")).toEqual(["quantize"]);
    expect(await offered("help", "qu")).toEqual(["quantize"]);
    expect((await pith("complete", "--", "insp")).out).toBe(
      "inspect\tshow inputs, outputs, operators, layers and sizes of a model, or what techniques do to one layer\n",
    );
  });

  test("offers the flags of a command", async () => {
    expect(await offered("quantize", "model.onnx", "--sch")).toEqual(["--scheme"]);
    expect(await offered("quantize", "--")).toEqual(expect.arrayContaining(["--bits", "--json", "--help"]));
    expect(await offered("--ver")).toEqual(["--version"]);
    expect((await pith("complete", "--", "quantize", "--sch")).out).not.toContain("see below");
  });

  test.each([
    [["quantize", "--scheme", "st"], ["static"]],
    [["quantize", "m.onnx", "--scheme=st"], ["--scheme=static"]],
    // Bash splits words at equal signs.
    [["quantize", "--scheme", "=", "st"], ["static"]],
    [
      ["quantize", "--scheme", "="],
      ["weights", "dynamic", "static", "float16", "bfloat16"],
    ],
    [
      ["quantize", "--target", "node,w"],
      ["node,wasm", "node,webgpu"],
    ],
    [["quantize", "--target", "wasm,w"], ["wasm,webgpu"]],
    [
      ["completion", ""],
      ["bash", "zsh", "fish"],
    ],
    [["completion", "z"], ["zsh"]],
    // The optional value of a flag does not count as an argument.
    [["completion", "--json", "z"], ["zsh"]],
  ])("offers the values of enumerations: %j", async (words, values) => {
    expect(await offered(...words)).toEqual(values);
  });

  test.each([
    ["a model", ["quantize", ""]],
    ["a model by the start of its name", ["quantize", "bash"]],
    ["the path of a flag", ["quantize", "m.onnx", "--data", ""]],
    ["the path of a short flag", ["quantize", "m.onnx", "-o", "out"]],
    ["a number", ["quantize", "--bits", "x"]],
    ["words after --", ["quantize", "--", "--sch"]],
    ["an unknown command", ["qantize", "--sch"]],
    ["a flag that does not exist", ["quantize", "--nothing="]],
  ])("leaves files to the shell: %s", async (_, words) => {
    expect(await offered(...words)).toEqual([]);
  });

  test("is not shown as a command", async () => {
    expect(await pith("complete")).toMatchObject({
      code: 2,
      err: expect.stringContaining("Unknown command 'complete'"),
    });
    expect((await pith("--help")).out).not.toMatch(/^ +complete\b/m);
  });
});

test("rejects an unknown shell", async () => {
  const { code, err } = await pith("completion", "tcsh");
  expect(code).toBe(2);
  expect(err).toMatch(/tcsh.*bash, zsh, fish/s);
});

const has = (shell: string): boolean => spawnSync(shell, ["-c", "exit 0"]).status === 0;

/** Loads the script in the shell, runs these lines, and returns the lines that they print. */
async function inShell(shell: string, lines: string): Promise<string[]> {
  const [folder, work] = [join(temporaryFolder(), "bin"), temporaryFolder()];
  mkdirSync(folder);
  writeFileSync(join(folder, "pith"), `#!/bin/sh\nexec "${process.execPath}" "${program}" "$@"\n`);
  chmodSync(join(folder, "pith"), 0o755);
  writeFileSync(join(work, "my model.onnx"), "");
  const { out } = await pith("completion", shell);
  const script = join(work, "script");
  writeFileSync(script, out);
  const env = { ...process.env, PATH: `${folder}${delimiter}${process.env.PATH}`, SCRIPT: script, HOME: work };
  const text = execFileSync(shell, ["-c", lines], { cwd: work, env, encoding: "utf8" });
  return text.split("\n").filter((line) => line !== "");
}

describe.skipIf(!has("bash"))("bash", () => {
  const asked = (words: string): string => `
    source "$SCRIPT"
    COMP_WORDS=(pith ${words}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
    _pith
    printf '%s\\n' "\${COMPREPLY[@]}"`;

  test("completes flags and values, and leaves files to bash", async () => {
    expect(await inShell("bash", asked("quantize --sch"))).toEqual(["--scheme"]);
    expect(await inShell("bash", asked("quantize --scheme = st"))).toEqual(["static"]);
    expect(await inShell("bash", asked("quantize 'my mo'"))).toEqual([]);
    expect(await inShell("bash", 'source "$SCRIPT"; complete -p pith')).toEqual([
      "complete -o bashdefault -o default -F _pith pith",
    ]);
  });

  test("evaluates no typed text, and can be loaded twice", async () => {
    const lines = `source "$SCRIPT"; ${asked("quantize '$(touch touched)' --sch")}; ls`;
    expect(await inShell("bash", lines)).toEqual(["--scheme", "my model.onnx", "script"]);
  });
});

describe.skipIf(!has("zsh"))("zsh", () => {
  // Outside of an editor, the function that offers words prints them.
  const asked = (words: string): string => `
    compdef() {}; compset() {}; _files() { echo FILES }; _describe() { print -l -- "\${(@P)2}" }
    source "$SCRIPT"
    words=(pith ${words}); CURRENT=$#words
    _pith`;

  test("completes flags and values with descriptions, and files", async () => {
    expect(await inShell("zsh", asked("quantize --sch"))).toEqual([expect.stringMatching(/^--scheme:what is stored/)]);
    expect(await inShell("zsh", asked("quantize --scheme=st"))).toEqual(["--scheme=static:"]);
    expect(await inShell("zsh", asked("quantize ''"))).toEqual(["FILES"]);
  });
});

describe.skipIf(!has("fish"))("fish", () => {
  const asked = (line: string): string => `source "$SCRIPT"; complete -C '${line}'`;

  test("completes flags and values with descriptions, and files", async () => {
    expect(await inShell("fish", asked("pith quantize --sch"))).toEqual([expect.stringMatching(/^--scheme\twhat is/)]);
    expect(await inShell("fish", asked("pith quantize --scheme=st"))).toEqual(["--scheme=static"]);
    expect(await inShell("fish", asked("pith quantize my"))).toEqual([expect.stringMatching(/^my model\.onnx/)]);
    expect(await inShell("fish", asked("pith quantize --data=my"))).toEqual([
      expect.stringMatching(/^--data=my model\.onnx/),
    ]);
  });
});
