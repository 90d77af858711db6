/** Runs the steps of action.yml as GitHub's runner does, in a repository that has a branch with a change. */
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { describe, expect, inject, test } from "vitest";
import { parse } from "yaml";
import { parseModel } from "../../src/core/graph/text.ts";
import { save } from "../../src/core/onnx/index.ts";
import { classifier } from "../cli/small-models.ts";
import { temporaryFolder } from "../temporary.ts";

interface Step {
  readonly name: string;
  readonly if?: string;
  readonly run?: string;
  readonly uses?: string;
  readonly env?: Readonly<Record<string, string>>;
}

interface Action {
  readonly inputs: Readonly<Record<string, { readonly default: string }>>;
  readonly runs: { readonly steps: readonly Step[] };
}

const root = join(import.meta.dirname, "../..");
const action: Action = parse(readFileSync(join(root, "action.yml"), "utf8"));
const points = Array.from({ length: 400 }, (_, index) => `${index % 20},${(7 * index) % 20}`).join("\n");

interface Ran {
  readonly code: number;
  readonly output: string;
  readonly summary: string;
  /** Lines of the step's outputs. */
  readonly outputs: string;
  /** Calls of GitHub's command line, one per line. */
  readonly calls: string;
}

const recordCalls = '#!/bin/sh\necho "$@" >> "$GH_CALLS"\n';

/** @param weights of the model after the change. @param inputs of the action. @param event with which the workflow starts. */
async function runAction(
  weights: string,
  inputs: Readonly<Record<string, string>> = {},
  event: "push" | "pull_request" = "pull_request",
  gh = recordCalls,
): Promise<Ran> {
  const folder = temporaryFolder();
  const at = (name: string): string => join(folder, name);
  for (const name of ["origin", "bin", "runner"]) mkdirSync(at(name));
  const git = (place: string, ...words: string[]): string =>
    execFileSync("git", ["-C", at(place), "-c", "user.name=a", "-c", "user.email=a@b", ...words], { encoding: "utf8" });
  git("origin", "init", "--quiet");
  cpSync(join(import.meta.dirname, "fixture"), at("origin"), { recursive: true });
  mkdirSync(at("origin/models"));
  writeFileSync(at("origin/points.csv"), `a,b\n${points}\n`);
  const right = parseModel(classifier("[[1, 0.001], [0.001, 1]]"));
  await save(right, at("origin/models/original.onnx"));
  await save(right, at("origin/models/small.onnx"));
  git("origin", "add", ".");
  git("origin", "commit", "--quiet", "-m", "Models");
  const base = git("origin", "rev-parse", "HEAD").trim();
  git("", "clone", "--quiet", at("origin"), at("work"));
  await save(parseModel(classifier(weights)), at("work/models/small.onnx"));
  writeFileSync(at("bin/gh"), gh);
  chmodSync(at("bin/gh"), 0o755);
  const command = `${process.execPath} ${join(inject("compiled"), "app/cli/main.js")}`;
  const values: Record<string, string> = {
    "github.event_name": event,
    "github.event.pull_request.base.sha": base,
    "github.event.pull_request.number": "7",
    "github.repository": "a/b",
    "github.token": "secret",
    ...Object.fromEntries(Object.entries(action.inputs).map(([name, input]) => [`inputs.${name}`, input.default])),
    "inputs.command": command,
    ...Object.fromEntries(Object.entries(inputs).map(([name, value]) => [`inputs.${name}`, value])),
  };
  const fill = (text: string): string =>
    text.replace(/\$\{\{ *([\w.-]+) *\}\}/g, (_, name) => fill(values[name] ?? ""));
  const applies = (condition = ""): boolean =>
    condition
      .split(" && ")
      .filter((part) => part.includes("=="))
      .every((part) => {
        const [name = "", value] = part.split(" == ");
        return values[name] === value?.replaceAll("'", "");
      });
  const variables = {
    PATH: `${at("bin")}${delimiter}${process.env.PATH}`,
    RUNNER_TEMP: at("runner"),
    GITHUB_STEP_SUMMARY: at("summary.md"),
    GITHUB_OUTPUT: at("outputs"),
    GH_CALLS: at("calls"),
    HOME: at(""),
  };
  let [code, output] = [0, ""];
  for (const { run, env = {}, if: condition } of action.runs.steps) {
    if (run === undefined || !applies(condition) || (code !== 0 && condition?.includes("always()") !== true)) continue;
    const filled = Object.fromEntries(Object.entries(env).map(([name, value]) => [name, fill(value)]));
    const words = ["--noprofile", "--norc", "-eo", "pipefail", "-c", run];
    const ran = spawnSync("bash", words, { cwd: at("work"), encoding: "utf8", env: { ...variables, ...filled } });
    output += ran.stdout + ran.stderr;
    code ||= ran.status ?? 1;
  }
  const read = (name: string): string => (existsSync(at(name)) ? readFileSync(at(name), "utf8") : "");
  return { code, output, summary: read("summary.md"), outputs: read("outputs"), calls: read("calls") };
}

describe("the action", () => {
  test("passes a change within the budgets, compares it with the base branch, and comments", async () => {
    const { code, output, summary, outputs, calls } = await runAction("[[1, 0.002], [0.002, 1]]");
    expect(output).toContain("passed");
    expect(summary).toMatch(/^### pith check: ✅ passed\n/);
    expect(summary).toMatch(/changed: \d+ bytes → \d+ bytes/);
    expect(outputs).toBe("outcome=passed\n");
    expect(calls).toMatch(
      /api --silent --method POST repos\/a\/b\/issues\/7\/comments --field body=@.*pith-comment\.md/,
    );
    expect(code).toBe(0);
  });

  test("fails a change that misses a budget, and still comments", async () => {
    const { code, summary, outputs, calls } = await runAction("[[0, 0], [0, 0]]");
    expect(summary).toContain("❌ failed");
    expect(outputs).toBe("outcome=failed\n");
    expect(calls).toContain("POST");
    expect(code).toBe(1);
  });

  test.each([
    ["warn", 0],
    ["fail", 1],
  ])("with undecided: %s, the exit code of an undecided check is %i", async (choice, expected) => {
    const { code, output, outputs } = await runAction("[[1, 0.002], [0.002, 1]]", {
      undecided: choice,
      file: "few.yaml",
    });
    expect(outputs).toBe("outcome=undecided\n");
    expect(output.includes("::warning::")).toBe(choice === "warn");
    expect(code === 0 ? 0 : 1).toBe(expected);
  });

  test("says in the summary that budgets with an error were not checked", async () => {
    const { code, summary, outputs, calls } = await runAction("[[1, 0], [0, 1]]", { file: "missing.yaml" });
    expect(summary).toContain("❌ ended with exit code");
    expect(outputs).toBe("outcome=failed\n");
    expect(calls).toContain("POST");
    expect(code).not.toBe(0);
  });

  test.each([
    ["gh: Resource not accessible by integration (HTTP 403)", "the token may not write comments"],
    [
      "gh: 100% wrong\n::error::Validation Failed (HTTP 422)",
      "gh: 100%25 wrong%0A::error::Validation Failed (HTTP 422)",
    ],
  ])("says why a comment was not written: %j", async (failure, reason) => {
    const gh = `#!/bin/sh\ncase "$*" in *--paginate*) exit 0 ;; esac\necho '${failure}' >&2\nexit 1\n`;
    const { code, output } = await runAction("[[1, 0.002], [0.002, 1]]", {}, "pull_request", gh);
    expect(output).toContain(`because the comment was not written: ${reason}\n`);
    expect(output).not.toMatch(/^::error/m);
    expect(code).toBe(0);
  });

  test("neither compares nor comments for a push", async () => {
    const { code, summary, calls } = await runAction("[[1, 0.002], [0.002, 1]]", {}, "push");
    expect(summary).not.toContain("changed:");
    expect(calls).toBe("");
    expect(code).toBe(0);
  });
});
