/** Compares each layer of a changed model with its original. */
import type * as v from "valibot";
import { allLayers, counterpartsAmong, infer } from "#analysis";
import { bytesOfText, capitalize, counted, groupBy, Miss, type Model, unsupportedError } from "#ir";
import { writeFileAtomically } from "#platform";
import { findLostForm } from "../../../judge/compare/compare-function.ts";
import { layerTable, tableSamples } from "../../../judge/fallback/layer-table.ts";
import { quoteWord } from "../../../judge/record/shell-command.ts";
import { decibelsLegend } from "../../../judge/record/verdict.ts";
import { blameText } from "../../../runtime/noise/layer-errors.ts";
import { weightErrors } from "../../../runtime/noise/weight-errors.ts";
import { debugPage, decibelsText, dominantLayer, placeName, shareText, togetherNote } from "../../report/debug.ts";
import type { ProcessSession, Result } from "../command.ts";
import type { options } from "../commands/debug.ts";
import { exists, requireOther } from "../files/files.ts";
import { requireWritable } from "../files/writable.ts";
import { dataRequest } from "../flags/data.ts";
import { wrongOriginalHint } from "../job-parts/inputs.ts";
import { openModels } from "../job-parts/judge-model.ts";
import { isChanged } from "../job-parts/open-model.ts";
import { columns } from "../print/table.ts";

/** Minimum signal-to-noise ratio of the last layer in decibels, at which a model counts as derived from its original. */
const minSimilarity = 10;

const maxLayers = 20;

export default async function debug(
  [originalPath = "", modelPath = ""]: readonly string[],
  { out, output, ...flags }: v.InferOutput<typeof options>,
  session: ProcessSession,
): Promise<Result> {
  const { seed, signal } = session;
  const data = dataRequest(flags);
  if (out !== undefined) {
    await requireOther(out, [
      ["the original", originalPath],
      ["the model itself", modelPath],
      ["the data", data?.path],
    ]);
    await requireWritable(out);
  }
  const replaced = out !== undefined && (await exists(out));
  const wordsOf = (before: string, after: string) => ["debug", before, after];
  const opened = await openModels(modelPath, originalPath, data, wordsOf, session);
  const {
    context,
    model: { model },
    reference: original,
    task,
    inputs: texts,
    explain,
  } = opened;
  const { engine } = context;
  const samples = data?.samples ?? tableSamples;
  session.stage("layers");
  const preparedSamples = task?.ready(task.seen) ?? texts?.test;
  const lost = await findLostForm(engine, original, model, preparedSamples, { seed, signal }).catch(explain);
  const batch = data?.batch === undefined ? {} : { batch: data.batch };
  const options = { output, samples, ...batch, progress: context.progress };
  const table = await layerTable(original, model, preparedSamples, options, context).catch(explain);
  if (table instanceof Miss) {
    throw unsupportedError(`The models cannot be compared on random inputs: ${table.reason}.`, {
      hint: "Give samples: --data.",
    });
  }
  if (preparedSamples === undefined) session.log({ id: "random-data", text: randomNote, level: "warning" });
  const { blamed, misses, rows: layers } = table;
  const isSimilar = isChanged(model) || (layers.at(-1)?.signalToNoise ?? 0) >= minSimilarity;
  if (!isSimilar && !hasSimilarLayers(original, model, await weightErrors(engine, original, model, signal)))
    throw unsupportedError(
      `No layer of ${modelPath} is like one of ${originalPath}: nothing can be compared layer by layer.`,
      { hint: wrongOriginalHint },
    );
  const on =
    task === undefined
      ? (texts?.test.name ?? `random inputs, seed ${seed}`)
      : `${task.seen.name}, ${counted(Math.min(samples, task.seen.count ?? samples), "sample")}`;
  const preprocessing = task?.preprocessing;
  if (out !== undefined) {
    const page = debugPage({ layers, blamed, on, original: originalPath, model: modelPath });
    session.writes([out]);
    await writeFileAtomically(out, [bytesOfText(page)]);
  }
  const ranking = layers.toSorted(
    (a, b) => (b.estimate ?? -1) - (a.estimate ?? -1) || a.signalToNoise - b.signalToNoise,
  );
  const blamedLayer = dominantLayer(blamed);
  const changedLayers = ranking.filter(({ signalToNoise }) => signalToNoise !== Number.POSITIVE_INFINITY);
  return {
    data: {
      original: originalPath,
      model: modelPath,
      on,
      lost,
      // Layers that lost the same channels have one joint error, so they are blamed together.
      blamed: blamed?.layers.length === 1 ? blamed.layers[0] : undefined,
      blamedTogether: blamed !== undefined && blamed.layers.length > 1 ? blamed.layers : undefined,
      layers,
      misses: misses.map(({ at, reason }) => ({ at, reason })),
      written: out,
    },
    print(terminal) {
      const { bold, dim } = terminal.color;
      terminal.line(`${bold(modelPath)} against ${originalPath}, on ${on}`);
      if (preprocessing !== undefined) terminal.line(`preprocessing: ${preprocessing}`);
      if (changedLayers.length > 0) {
        for (const line of legend) terminal.line(dim(line));
        terminal.table(
          [{ title: "layer" }, ...columns("", "alone", "with all before", "share of error")],
          changedLayers
            .slice(0, maxLayers)
            .map((row) => [
              row.layer === blamedLayer ? bold(placeName(row)) : placeName(row),
              dim(row.operator),
              ...[row.own, row.signalToNoise].map(decibelsText),
              shareText(row),
            ]),
        );
      }
      if (changedLayers.length > maxLayers)
        terminal.line(
          `and ${counted(changedLayers.length - maxLayers, "more layer")} (--json and -o debug.html have all)`,
        );
      const jointNote = togetherNote(changedLayers.slice(0, maxLayers));
      if (jointNote !== "") terminal.line(dim(jointNote));
      const equalCount = layers.length - changedLayers.length;
      if (equalCount > 0) terminal.line(`${counted(equalCount, "layer")} as in the original`);
      for (const text of notComparedLines(misses)) terminal.line(text);
      if (lost !== undefined) terminal.line(`${capitalize(lost)}.`);
      if (out !== undefined) terminal.line(`written: ${bold(out)}${replaced ? " (replaced)" : ""}`);
      const noDifferenceText = misses.length > 0 ? "No other layer differs." : "No layer differs.";
      terminal.line(blamed === undefined ? noDifferenceText : `${blameText(blamed)}.`);
      if (blamedLayer !== undefined)
        terminal.line(
          `next: pith inspect ${quoteWord(originalPath)} ${quoteWord(blamedLayer)}  # how it can be compressed`,
        );
    },
  };
}

const randomNote =
  "the values are for random inputs: on real samples, the decibels and the order of layers can differ; prefer --data, labels are not needed";

const legend = [
  decibelsLegend,
  "alone: the output of the layer if only this layer is changed; with all before: if all layers before it are changed, too",
  "share of error: what remains of the error of the model if only this layer is changed (the shares need not add up to 100 %)",
];

function notComparedLines(misses: readonly Miss[]): readonly string[] {
  return Array.from(
    groupBy(misses, ({ reason }) => reason),
    ([reason, group]) => {
      const layers = group.flatMap(({ at }) => at ?? []);
      const layersText =
        layers.length > 2 ? `${counted(layers.length, "layer")}: ` : layers.length > 0 ? `${layers.join(", ")}: ` : "";
      return `not compared: ${layersText}${reason}`;
    },
  );
}

/** Returns whether a weight resembles its counterpart. Without comparable weights, at least half of the layers must have counterparts. */
function hasSimilarLayers(original: Model, model: Model, weights: ReadonlyMap<string, number>): boolean {
  if (weights.size > 0) return [...weights.values()].some((decibels) => decibels > 0);
  const originalLayers = allLayers(original, infer(original));
  const counterparts = counterpartsAmong(allLayers(model, infer(model)));
  const matchedLayers = originalLayers.filter((layer) => counterparts(layer).length > 0);
  return 2 * matchedLayers.length >= originalLayers.length;
}
