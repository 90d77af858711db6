/** Measures each layer alone, and writes the data and recipes with settings for each layer. */
import { basename } from "node:path";
import type * as v from "valibot";
import { allLayers, infer } from "#analysis";
import {
  bytesOfText,
  counted,
  duration,
  figureInterval,
  figureText,
  integer,
  percent,
  throwIfAborted,
  unitOfChange,
  usageError,
} from "#ir";
import { createEngine } from "../../../core/engine/index.ts";
import { recipeText } from "../../../judge/recipe/recipe-text.ts";
import { quoteWord } from "../../../judge/record/shell-command.ts";
import { type Allocation, allocationFrom } from "../../../search/sensitivity/allocation.ts";
import { sensitivity } from "../../../search/sensitivity/sensitivity.ts";
import {
  headline,
  kindWords,
  type Sensitivity,
  type SensitivityCost,
  type SensitivityKind,
  type SensitivityRow,
  selectKind,
  sensitivityKinds,
  sweptChangeText,
  unresolvedText,
} from "../../../search/sensitivity/sensitivity-record.ts";
import type { ProcessSession, Result } from "../command.ts";
import type { options } from "../commands/sensitivity.ts";
import { sensitivityContents, writeResults } from "../files/result-folder.ts";
import { maxKeptBytes } from "../files/steps-folder.ts";
import { dataRequestOf, dataWords } from "../flags/data.ts";
import { withFlagNames } from "../flags/flag-names.ts";
import { openData } from "../jobs/parts/open-data.ts";
import { contextOf, openModel } from "../jobs/parts/open-model.ts";
import type { Printer } from "../print/printed-result.ts";
import { columnsOf, printLayers } from "../print/table.ts";

const defaultSamples = 1024;

export default async function sensitivityProcess(
  [path = ""]: readonly string[],
  flags: v.InferOutput<typeof options> & { readonly out: string; readonly data: string; readonly resumeFolder: string },
  session: ProcessSession,
): Promise<Result> {
  const { out, kinds, layers, except, alike, minutes, budget, cost, metric, output, resumeFolder } = flags;
  const data = dataRequestOf(flags);
  if (data === undefined) throw usageError("sensitivity needs --data.");
  const engine = createEngine();
  const model = await openModel(path, session);
  const { batch, samples = defaultSamples } = data;
  const settings = { metric, output, seed: session.seed };
  const { task } = await openData(engine, model, { ...data, samples }, settings, session);
  const context = contextOf(engine, session, session);
  session.stage("layers");
  const selection = { kinds, layers, except, alike, minutes, output, batch, name: basename(path) };
  const sweepOptions = { ...selection, resumeFolder, resumeBytes: maxKeptBytes(model) };
  const record = withFlagNames(await sensitivity(model, task, sweepOptions, context), session.flags);
  const recipes: (readonly [string, Uint8Array])[] = [];
  for (const [index, kind] of sensitivityKinds.entries()) {
    session.progress(index, sensitivityKinds.length, kindWords[kind].title);
    const allocation = await allocationFrom(model, record, kind, { budget, cost }, context);
    if (allocation === undefined) continue;
    if (budget !== undefined && allocation.share > budget) {
      const text = `${kind}.yaml leaves ${remainingCostText(allocation, cost)}, more than the ${percent(budget, 0)} of --budget: harsher settings were not measured`;
      session.log({ id: "budget", text, level: "warning" });
    }
    recipes.push([`${kind}.yaml`, bytesOfText(formatRecipe(allocation, record, cost))]);
  }
  throwIfAborted(session.signal, "Stopped before anything was written.");
  const unresolvedNote = unresolvedText(record);
  if (unresolvedNote !== undefined) session.log({ id: "unresolved", text: unresolvedNote, level: "warning" });
  const written = await writeResults(out, record, recipes, session, sensitivityContents);
  // Zeros alone do not make the file smaller.
  const recipe =
    written.findLast((file) => /(bits|channels)\.yaml$/.test(file)) ??
    written.find((file) => file.endsWith("rank.yaml"));
  return {
    json: { ...record, preprocessing: task.preprocessing, files: written },
    print(terminal) {
      const { name, unit } = record.metric;
      const { dim, bold } = terminal.color;
      const mostSamples = Math.max(record.original.count, ...record.rows.map(({ drop }) => drop.count));
      const interval = dim(
        `95 % interval ${figureInterval(unit, record.original)}, ${counted(record.original.count, "sample")}; changes are measured on up to ${integer(mostSamples)}, until they are certain`,
      );
      terminal.table(columnsOf("", "", ""), [
        [`${name} of the original`, figureText(unit, record.original.value), interval],
      ]);
      const sign = record.metric.better === "higher" ? "−" : "+";
      terminal.line(
        dim(`${sign} is a loss: layers near 0 can be compressed, and layers with a large loss need their precision`),
      );
      for (const kind of sensitivityKinds) printKind(terminal, record, kind);
      for (const kind of sensitivityKinds) {
        const misses = record.misses.filter((miss) => miss.kind === kind);
        const [first] = misses;
        if (first === undefined) continue;
        const moreCount = new Set(misses.map(({ at }) => at)).size - 1;
        const moreText = moreCount > 0 ? ` and ${counted(moreCount, "more layer")}` : "";
        terminal.line(dim(`${kind}: not measured: ${first.at ?? "the model"}${moreText} (${first.reason})`));
      }
      const coveredLayers = new Set(record.rows.flatMap(({ layers }) => layers));
      if (record.open > 0)
        terminal.line(
          `recipes cover ${integer(coveredLayers.size)} of ${counted(allLayers(model, infer(model)).length, "layer")}: the time limit ended before ${counted(record.open, "setting")} (--minutes)`,
        );
      if (task.preprocessing !== undefined) terminal.line(`preprocessing: ${task.preprocessing}`);
      terminal.line(`written: ${written.join("  ")}`);
      terminal.line(
        `${bold(headline(record))}. ${integer(record.rows.length)} of ${counted(record.rows.length + record.open, "setting")} measured in ${duration(1000 * record.seconds)}`,
      );
      const words = ["pith", "compress", path, ...dataWords(data), ...(recipe === undefined ? [] : ["-r", recipe])];
      const doubt = unresolvedNote === undefined ? "" : "  # with more samples, the recipe is more certain";
      terminal.line(`next: ${words.map(quoteWord).join(" ")}${doubt}`);
    },
  };
}

function printKind(terminal: Printer, record: Sensitivity, kind: SensitivityKind): void {
  const { settings, layers } = selectKind(record, kind);
  if (layers.length === 0) return;
  const { unit, name: metric } = record.metric;
  const { dim } = terminal.color;
  const unitText = unitOfChange(unit) === "" ? "" : ` in ${unitOfChange(unit)}`;
  terminal.line(
    `${terminal.color.bold(kindWords[kind].title)}${dim(`: change of ${metric}${unitText} if only this layer changes, worst layer first`)}`,
  );
  const titles = settings.map((setting) => kindWords[kind].text(setting));
  const cellOf = (row: SensitivityRow | undefined): string => (row ? sweptChangeText(record.metric, row.drop) : "–");
  const rest = ", which lose less: sensitivity.json";
  printLayers(terminal, columnsOf("layer", ...titles), layers, ({ name, rows }) => [name, ...rows.map(cellOf)], rest);
}

const remainingCostText = ({ share }: Pick<Allocation, "share">, cost: SensitivityCost): string =>
  `${percent(share, 0)} of the ${cost === "macs" ? "multiply-accumulates" : "bytes of weights"}`;

/** Formats a recipe with a header. */
export function formatRecipe(
  allocation: Pick<Allocation, "share" | "recipe">,
  { model, rows, open }: Pick<Sensitivity, "model" | "rows" | "open">,
  cost: SensitivityCost,
): string {
  const measuredText = `${integer(rows.length)} of ${counted(rows.length + open, "setting")}`;
  const lines = [
    `# Settings with the lowest sum of losses of individual layers that leave ${remainingCostText(allocation, cost)} in ${JSON.stringify(model)}.`,
    `# Only ${measuredText} were measured before time ran out; layers without a measurement keep their weights.`,
  ];
  return [...lines.slice(0, open === 0 ? 1 : 2), recipeText(allocation.recipe)].join("\n");
}
