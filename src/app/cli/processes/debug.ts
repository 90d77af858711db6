/** Compares each layer of a changed model with its original. */
import type * as v from "valibot";
import { allLayers, counterpartsAmong, infer } from "#analysis";
import { bytesOfText, capitalize, counted, groupBy, Miss, type Model, unsupportedError } from "#ir";
import { writeFileAtomically } from "#platform";
import { findLostForm } from "../../../judge/compare/compare-function.ts";
import { computeLayerTable, type LayerRow, tableSamples } from "../../../judge/fallback/layer-table.ts";
import { quoteWord } from "../../../judge/record/shell-command.ts";
import { minDecibels } from "../../../runtime/noise/layer-differences.ts";
import { blameText } from "../../../runtime/noise/layer-errors.ts";
import { weightErrors } from "../../../runtime/noise/weight-errors.ts";
import {
  debugPage,
  dominantLayer,
  errorCells,
  errorTitles,
  layersLegend,
  placeName,
  togetherNote,
} from "../../report/debug.ts";
import type { ProcessSession, Result } from "../command.ts";
import type { options } from "../commands/debug.ts";
import { exists, requireNotInput } from "../files/file-paths.ts";
import { requireWritable } from "../files/writable.ts";
import { dataRequestOf, dataWords } from "../flags/data.ts";
import { wrongOriginalHint } from "../jobs/parts/input-errors.ts";
import { isResult } from "../jobs/parts/model-warnings.ts";
import { openModelAndOriginal } from "../jobs/parts/open-data.ts";
import { columnsOf, printLayers } from "../print/table.ts";

type Options = v.InferOutput<typeof options>;

export default async function debug(
  [originalPath = "", modelPath = ""]: readonly string[],
  { out, output, ...flags }: Options,
  session: ProcessSession,
): Promise<Result> {
  const { seed, signal } = session;
  const data = dataRequestOf(flags);
  if (out !== undefined) {
    await requireNotInput(out, [
      ["the original", originalPath],
      ["the model itself", modelPath],
      ["the data", data?.path],
    ]);
    await requireWritable(out);
  }
  const replaced = out !== undefined && (await exists(out));
  const wordsOf = (before: string, after: string) => ["debug", before, after];
  const openedModels = await openModelAndOriginal(modelPath, originalPath, data, wordsOf, session);
  const { context, model: compressedModel, reference: original, task, inputs: texts, explain } = openedModels;
  const [{ engine }, { model }] = [context, compressedModel];
  const samples = data?.samples ?? tableSamples;
  session.stage("layers");
  const preparedSamples = task?.ready(task.shownSamples) ?? texts?.test;
  const lost = await findLostForm({ engine, original, result: model }, preparedSamples, { seed, signal }).catch(
    explain,
  );
  const batch = data?.batch === undefined ? {} : { batch: data.batch };
  const options = { output, samples, ...batch, progress: context.progress };
  const table = await computeLayerTable(original, model, preparedSamples, options, context).catch(explain);
  if (table instanceof Miss)
    throw unsupportedError(`The models cannot be compared on random inputs: ${table.reason}.`, {
      hint: "Give samples: --data.",
    });
  if (preparedSamples === undefined) session.log({ id: "random-data", text: randomNote, level: "warning" });
  const { blamed, misses, rows: layers } = table;
  const isSimilar = isResult(model) || (layers.at(-1)?.signalToNoise ?? 0) >= minDecibels;
  if (!isSimilar && !hasSimilarLayers(original, model, await weightErrors(engine, original, model, signal)))
    throw unsupportedError(
      `No layer of ${modelPath} is like one of ${originalPath}: nothing can be compared layer by layer.`,
      { hint: wrongOriginalHint },
    );
  const on =
    task === undefined
      ? (texts?.test.name ?? `random inputs, seed ${seed}`)
      : `${task.shownSamples.name}, ${counted(Math.min(samples, task.shownSamples.count ?? samples), "sample")}`;
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
    json: {
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
      terminal.line(`${bold(modelPath)} compared with ${originalPath}, on ${on}`);
      if (preprocessing !== undefined) terminal.line(`preprocessing: ${preprocessing}`);
      if (changedLayers.length > 0) {
        for (const line of layersLegend) terminal.line(dim(line));
        const tableColumns = [{ title: "layer" }, ...columnsOf("", ...errorTitles)];
        const cellsOf = (row: LayerRow) => {
          const name = placeName(row);
          return [row.layer === blamedLayer ? bold(name) : name, dim(row.operator), ...errorCells(row)];
        };
        const rest = " (--json and -o debug.html have all)";
        const jointNote = togetherNote(printLayers(terminal, tableColumns, changedLayers, cellsOf, rest));
        if (jointNote !== "") terminal.line(dim(jointNote));
      }
      const equalCount = layers.length - changedLayers.length;
      if (equalCount > 0) terminal.line(`same outputs as in the original: ${counted(equalCount, "layer")}`);
      for (const [reason, group] of groupBy(misses, (miss) => miss.reason)) {
        const names = group.flatMap(({ at }) => at ?? []);
        const place = names.length > 2 ? counted(names.length, "layer") : names.join(", ");
        terminal.line(`not compared: ${place && `${place}: `}${reason}`);
      }
      if (lost !== undefined) terminal.line(`${capitalize(lost)}.`);
      if (out !== undefined) terminal.line(`written: ${bold(out)}${replaced ? " (replaced)" : ""}`);
      const noDifferenceText = `No ${misses.length > 0 ? "other " : ""}layer differs`;
      terminal.line(`${blamed === undefined ? noDifferenceText : blameText(blamed)}.`);
      const dataPart = data === undefined ? "--data SAMPLES" : dataWords(data).map(quoteWord).join(" ");
      const [before, after] = [originalPath, modelPath].map(quoteWord);
      // Layers are blamed together if they lost channels.
      if ((blamed?.layers.length ?? 0) > 1)
        terminal.line(`next: pith recover ${after} --original ${before} ${dataPart}  # labels are not needed`);
      else if (blamedLayer === undefined || blamed?.kind !== "layer")
        terminal.line(`next: pith sensitivity ${before} ${dataPart}  # what each layer can bear`);
      else terminal.line(`next: if that is too much, make ${after} again with --except ${quoteWord(blamedLayer)}`);
    },
  };
}

const randomNote =
  "the values are for random inputs: on real samples, the decibels and the order of layers can differ; prefer --data, labels are not needed";

/** Returns whether a model resembles its original by its weights, or else by the share of layers with counterparts. */
function hasSimilarLayers(original: Model, model: Model, weights: ReadonlyMap<string, number>): boolean {
  if (weights.size > 0) return [...weights.values()].some((decibels) => decibels > 0);
  const originalLayers = allLayers(original, infer(original));
  const counterparts = counterpartsAmong(allLayers(model, infer(model)));
  const matchedLayers = originalLayers.filter((layer) => counterparts(layer).length > 0);
  return 2 * matchedLayers.length >= originalLayers.length;
}
