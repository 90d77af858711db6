/** A command from a pass: flags from its options, one model in, one model out, measured on data where there is any. */
import { resolve } from "node:path";
import * as v from "valibot";
import { PithError } from "../../errors.ts";
import { moduleBeside } from "../../job/job.ts";
import { changeInterval } from "../../report/numbers.ts";
import { verdictSentence } from "../../report/verdict.ts";
import { type CommandDefinition, defineCommand, type Result } from "../command.ts";
import { dataFlags, dataRequest } from "../data.ts";
import { outputName, requireWritable, withoutLeftovers } from "../files.ts";
import type passJob from "../jobs/pass.ts";
import type { PassOutput, Weight } from "../jobs/pass.ts";
import { metricFlags, requireMeaningfulDrop } from "../metrics.ts";
import { bytes, count, difference, figure, integer, times } from "../numbers.ts";
import { requiredKeys } from "../options.ts";
import { passCommandNamed } from "../passes.ts";
import type { Terminal } from "../terminal.ts";

const stepFlags = v.object({
  out: v.optional(v.pipe(v.string(), v.description("file to write"), v.metadata({ short: "-o", value: "out.onnx" }))),
  ...dataFlags,
  ...metricFlags,
  maxDrop: v.optional(v.pipe(v.number(), v.minValue(0), v.description("write nothing if it gets worse by more: 1%"))),
  strict: v.optional(
    v.pipe(v.boolean(), v.description("demand that the interval, not the estimate, keeps --max-drop")),
  ),
  force: v.optional(v.pipe(v.boolean(), v.description("write the result whatever became of its accuracy"))),
});

/** Changes and refusals that are printed; the rest is counted. */
const shown = 5;

/** The command of the pass called `name` in `passes.ts`. */
export async function passCommand(name: string): Promise<CommandDefinition<typeof stepFlags>> {
  const entry = passCommandNamed(name);
  const pass = await entry.load();
  return defineCommand({
    name,
    summary: entry.summary,
    arguments: [{ name: "model.onnx", description: "the model" }],
    options: stepFlags,
    passed: pass.options,
    // The job opens the data, prepares it, and gives the pass its part.
    reserved: ["data", "samples"],
    examples: entry.examples,
    async run([model = ""], options, session) {
      const { metric, output, maxDrop, strict = false, force = false } = options;
      requireMeaningfulDrop(maxDrop, metric);
      const out = options.out ?? outputName(model, entry.suffix);
      const data = dataRequest(options);
      if (data === undefined && requiredKeys(pass.options).has("data"))
        throw new PithError("E_USAGE", `${name} needs --data.`);
      const why = data === undefined ? entry.dataNeeded?.(session.passed) : undefined;
      if (why !== undefined) {
        throw new PithError("E_USAGE", `${name} needs --data here: ${why}.`, {
          hint: `Samples as the model will meet them; labels are not needed. See --data in pith ${name} --help.`,
        });
      }
      if (data === undefined && maxDrop !== undefined)
        throw new PithError("E_USAGE", "--max-drop needs --data to judge by.");
      if (resolve(out) === resolve(model)) {
        throw new PithError("E_USAGE", `"${out}" is the model itself: the result would take its place.`, {
          hint: "Name another file with -o.",
        });
      }
      await requireWritable(out);
      const settings = { options: session.passed, data, metric, output, maxDrop, strict, force };
      const input = { command: name, model, out, seed: session.seed, ...settings };
      const module = moduleBeside(import.meta.url, "../jobs/pass");
      const result = await withoutLeftovers(out, () => session.job<typeof passJob>(module, input, `${name} ${model}`));
      return show(model, result, maxDrop);
    },
  });
}

function show(model: string, result: PassOutput, maxDrop: number | undefined): Result {
  const { changes, misses, before, after, preprocessing, comparison, verdict, lost, written } = result;
  return {
    data: { model, ...result },
    // Asked for a change, and there is none.
    goalMissed: written === undefined || verdict?.met === false,
    print(terminal) {
      list(
        terminal,
        "changed",
        changes.map(({ at, what }) => `${at}: ${what}`),
      );
      list(
        terminal,
        "refused",
        misses.map(({ at, reason }) => (at === undefined ? reason : `${at}: ${reason}`)),
      );
      if (after === undefined || written === undefined)
        return terminal.line("Nothing changed, and nothing was written.");
      terminal.table(
        [{ title: "" }, { title: "before", align: "right" }, { title: "after", align: "right" }, { title: "" }],
        [
          ["bytes", bytes(before.bytes), bytes(after.bytes), times(before.bytes / after.bytes)],
          ...brotliRow(before, after),
          [
            "parameters",
            count(before.parameters),
            count(after.parameters),
            times(before.parameters / after.parameters),
          ],
          ...macsRow(before, after),
          ...(comparison === undefined
            ? []
            : [
                [
                  comparison.metric,
                  figure(comparison.unit, comparison.original.value),
                  figure(comparison.unit, comparison.candidate.value),
                  differenceText(comparison),
                ],
              ]),
        ],
      );
      if (preprocessing !== undefined) terminal.line(`preprocessing: ${preprocessing}`);
      if (verdict !== undefined && comparison !== undefined)
        terminal.line(verdictSentence({ maxDrop: maxDrop ?? 0 }, verdict, comparison.unit));
      if (lost !== undefined) terminal.line(`lost: ${lost}; written all the same (--force)`);
      terminal.line(`written: ${terminal.color.bold(written)}`);
    },
  };
}

function list(terminal: Terminal, title: string, lines: readonly string[]): void {
  if (lines.length === 0) return;
  terminal.line(`${title} (${integer(lines.length)}):`);
  for (const line of lines.slice(0, shown)) terminal.line(`  ${line}`);
  if (lines.length > shown)
    terminal.line(`  ${terminal.color.dim(`and ${integer(lines.length - shown)} more (--json has all)`)}`);
}

function brotliRow(before: Weight, after: Weight): string[][] {
  if (before.brotli === undefined || after.brotli === undefined) return [];
  return [["brotli", bytes(before.brotli), bytes(after.brotli), times(before.brotli / after.brotli)]];
}

/** One number of operations for each symbolic factor ("4*batch") is compared; sums of several are not. */
function macsRow(before: Weight, after: Weight): string[][] {
  const [a, b] = [before.macs, after.macs].map((text) => /^(\d+)(.*)$/.exec(text ?? ""));
  if (a === null || b === null || a === undefined || b === undefined || a[2] !== b[2] || /[ +]/.test(a[2] ?? ""))
    return [];
  const [first, second] = [Number(a[1]), Number(b[1])];
  return [["MACs", count(first), count(second), times(first / second)]];
}

function differenceText({ unit, difference: found }: NonNullable<PassOutput["comparison"]>): string {
  return `${difference(unit, found.value)} (${changeInterval(unit, found)} with 95 %, n = ${integer(found.count)})`;
}
