/** docs/benchmarks.md: the tables that the logs of `bench/` mark for the page, with their facts. docs/missed.md: all targets that are missed. */
import { readdirSync, readFileSync } from "node:fs";
import { type Generator, sourceNotice } from "./generator.ts";
import { headingAnchor } from "./heading-anchor.ts";
import { splitIntervals } from "./interval-tables.ts";
import { numbersWithoutSource } from "./measured-numbers.ts";

/** Logs in the order of the page. The other logs follow. */
const firstLogs = [
  "compress",
  "download",
  "quantize",
  "formats",
  "published",
  "simplify",
  "prune-peers",
  "train",
  "learn-lenet5",
  "learn-resnet20",
  "learn-text-classifier",
  "math",
  "cli",
  "studio",
  "site",
];

const facts = ["Compared with", "Result", "Date", "Machine", "Versions", "Command"] as const;

interface Section {
  readonly title: string;
  readonly facts: Readonly<Record<(typeof facts)[number], string>>;
  /** Tables and outputs, in Markdown. */
  readonly content: string;
  /** Path of the log. */
  readonly log: string;
}

export interface Log {
  readonly path: string;
  readonly title: string;
  readonly sections: readonly Section[];
  /** Table of the missed targets; "" if all are met. */
  readonly missed: string;
}

const folder = "bench/logs";

export const benchmarkPage: Generator = {
  generate: async () => {
    const rank = (name: string): number => (firstLogs.includes(name) ? firstLogs.indexOf(name) : firstLogs.length);
    const names = readdirSync(folder)
      .filter((name) => name.endsWith(".md"))
      .map((name) => name.slice(0, -3))
      .toSorted((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
    const paths = names.map((name) => `${folder}/${name}.md`);
    const logs = paths.map((path) => readLog(path, readFileSync(path, "utf8")));
    return new Map([
      ["docs/benchmarks.md", renderBenchmarks(logs)],
      ["docs/missed.md", renderMissed(logs)],
    ]);
  },
};

/** Reads the parts of a log between `<!-- page -->` and `<!-- /page -->`. A part without a heading continues the section before. */
export function readLog(path: string, text: string): Log {
  const parts = [...text.matchAll(/^<!-- page -->\n(.*?)\n<!-- \/page -->$/gms)].map(([, part = ""]) => part);
  const sections: Section[] = [];
  for (const part of parts) {
    const [, title, list = ""] = /^## (.*)\n\n(.*)$/s.exec(part) ?? [];
    const last = sections.pop();
    if (title !== undefined) {
      if (last !== undefined) sections.push(last);
      sections.push({ title, facts: readFacts(path, list), content: "", log: path });
    } else if (last === undefined) throw new Error(`${path}: the first part for the page has no heading.`);
    else sections.push({ ...last, content: `${last.content}\n\n${part}`.trim() });
  }
  const [output = "", missed = ""] = text.split("\n## Missed targets\n\n");
  const [, title = path] = /^# (.*)/.exec(text) ?? [];
  const log = { path, title, sections, missed: missed.trim() };
  checkMissed(log, output);
  checkResults(log, output);
  return log;
}

function readFacts(path: string, list: string): Section["facts"] {
  const lines = new Map([...list.matchAll(/^- ([\w ]+): (.*)$/gm)].map(([, name = "", fact = ""]) => [name, fact]));
  const entries = facts.map((name) => {
    const fact = lines.get(name);
    if (fact === undefined) throw new Error(`${path}: a section for the page has no line "- ${name}: …".`);
    return [name, fact] as const;
  });
  return Object.fromEntries(entries) as Section["facts"];
}

const numbersOf = (text: string): readonly string[] =>
  text.match(/(?<![\w.,])\d+(?:,\d{3})*(?:\.\d+)?(?![\w.])/g) ?? [];

/** Requires a row for each line of the output that misses a target: one with a number of this line. */
function checkMissed({ path, missed }: Log, output: string): void {
  for (const line of output.match(/^.*\bMISSED\b.*$/gm) ?? []) {
    const numbers = numbersOf(line);
    const isListed = numbers.length === 0 || numbersWithoutSource(numbers, missed).length < numbers.length;
    if (missed === "" || !isListed)
      throw new Error(`${path}: "Missed targets" has no row with a number of the line "${line.trim()}".`);
  }
}

/** Requires that the numbers of summaries and of missed targets are in the output. */
function checkResults({ path, sections, missed }: Log, output: string): void {
  const measured = output.replaceAll(/^- Result: .*$/gm, "");
  const cells = missed.split("\n").map((row) => row.split(" | ")[1] ?? "");
  for (const text of [...sections.map((section) => section.facts.Result), ...cells]) {
    const unknown = numbersWithoutSource(numbersOf(text), measured);
    if (unknown.length > 0) throw new Error(`${path}: the output does not contain ${unknown.join(", ")} of "${text}".`);
  }
}

export function renderBenchmarks(logs: readonly Log[]): string {
  const sections = logs.flatMap((log) => log.sections);
  return `${sourceNotice("the logs of bench/logs/")}

# Benchmarks

How Pith compares with other tools. [What is missed](missed.md) lists the targets that it does not reach. Each section is copied from a log of the repository, with the other tools in the same run.

\`npm run bench -- <name>\` in a clone repeats a measurement; \`npm run bench\` lists them. \`npm run bench -- page\` writes this page from the logs. A date with "(commit)" is the day on which the log was committed. Measurements are not repeated for each version.

| subject | compared with | result |
| --- | --- | --- |
${sections.map(({ title, facts }) => `| [${title}](#${headingAnchor(title)}) | ${facts["Compared with"]} | ${facts.Result} |`).join("\n")}

- Numbers of one network differ between sections. Each section has its own test samples, machine, number of threads and options. Compare numbers only within a table.
- Intervals below a table are 95 % intervals, unless a table states another level.
- "met" means that the measured value reaches a target. "met, not significant" means that the target is within its interval, so more samples could show a miss. "MISSED" marks the other targets. [What is missed](missed.md) collects them with their reasons.
- "before" and a commit are an earlier version of Pith.

${sections.map(renderSection).join("\n\n")}
`;
}

export function renderMissed(logs: readonly Log[]): string {
  const missing = logs.filter(({ missed }) => missed !== "");
  return `${sourceNotice("the logs of bench/logs/")}

# What is missed

Every target of a measurement that Pith does not reach, with the reason. [Known models](real-models.md) list for each network what the usual recipes in Python do better. [Benchmarks](benchmarks.md) have the measurements.

${missing.map(({ path, title, missed }) => `## ${title}\n\n${missed}\n\nLog: ${linkOf(path)}`).join("\n\n")}
`;
}

/** The package does not contain the logs. */
const linkOf = (log: string): string => `[\`${log}\`](../${log})`;

/** Matches the output of a program, with the summary that hides it. */
const rawOutput = /<details>\n<summary>[^\n]*<\/summary>\n\n```[\s\S]*?```\n\n<\/details>|^```\n[\s\S]*?^```$/gm;

function renderSection({ title, facts, content, log }: Section): string {
  const lines = (["Compared with", "Date", "Machine", "Versions", "Command"] as const).map(
    (name) => `- ${name}: ${facts[name]}`,
  );
  const tables = splitIntervals(
    content
      .replaceAll(rawOutput, "")
      .replaceAll(/\n{3,}/g, "\n\n")
      .trim(),
  );
  const links = [...lines, `- Output: ${linkOf(log)}`].join("\n");
  return [`## ${title}`, facts.Result, tables, links].filter((part) => part !== "").join("\n\n");
}
