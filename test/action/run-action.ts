/** Runs the steps of action.yml as GitHub's runner does, in a repository that has a branch with a change. */
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { inject } from "vitest";
import { parse } from "yaml";
import { parseModel } from "../../src/core/graph/text.ts";
import { save } from "../../src/core/onnx/index.ts";
import { classifier } from "../app/cli/small-models.ts";
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
export async function runAction(
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
