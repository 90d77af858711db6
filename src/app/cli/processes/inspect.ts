/** Inspects a model or one of its layers, with statistics of the weights on request. */
import type * as v from "valibot";
import { allLayers, infer, learnedTensors } from "#analysis";
import { counted, integer, joinList, type Model, throwIfAborted } from "#ir";
import { createEngine } from "../../../core/engine/index.ts";
import { engineMultiply } from "../../../core/engine/multiply.ts";
import { fromDense, type Matrix, type Multiply } from "../../../core/math/matrix.ts";
import { energyShares, rankForEnergy } from "../../../core/math/rank.ts";
import { quoteWord } from "../../../judge/record/shell-command.ts";
import { storeWeights } from "../../../rewrite/clean-up/store-constants.ts";
import { readStoredValue, zeroShare } from "../../../rewrite/edit/stored-values.ts";
import type { ChannelsExplanation, Explanation } from "../../../search/sensitivity/explain-layer.ts";
import { kindWords } from "../../../search/sensitivity/sensitivity-record.ts";
import { inspect as inspectModel } from "../../report/inspect/inspect.ts";
import type { ProcessSession, Result } from "../command.ts";
import type { options } from "../commands/inspect.ts";
import { filesOfModel, totalBytes } from "../files/file-paths.ts";
import { contextOf, openModel } from "../jobs/parts/open-model.ts";
import { printInspection, shownEnergies, type WeightStatistics } from "../print/inspection.ts";
import type { Printer } from "../print/printed-result.ts";

/** Maximum of the smaller dimension of a matrix to decompose, because larger ones take long. */
const maxDecomposed = 2048;

export default async function inspect(
  [path = "", layer]: readonly string[],
  { weights = false, channel }: v.InferOutput<typeof options>,
  session: ProcessSession,
): Promise<Result> {
  const model = await openModel(path, session);
  if (layer !== undefined) {
    // Most inspections do not need the techniques, which take time to load.
    const { explainLayer } = await import("../../../search/sensitivity/explain-layer.ts");
    const explanation = await explainLayer(model, layer, channel, contextOf(createEngine(), session, session));
    return { json: { model: path, ...explanation }, print: (page) => showExplanation(path, explanation, page) };
  }
  const bytes = await totalBytes(filesOfModel(model, path));
  const description = { file: path, ...(await inspectModel(model)), bytes };
  if (!weights) return { json: description, print: (page) => printInspection(description, {}, page) };
  storeWeights(model);
  const numbers = await measureWeights(model, session);
  const zeros = await zeroShare((await learnedTensors(model, infer(model))).keys());
  return {
    json: { ...description, zeros, weights: numbers },
    print: (page) => printInspection(description, { numbers, zeros }, page),
  };
}

function showExplanation(
  model: string,
  { layer, operator, dims, parameters, channels, techniques }: Explanation,
  terminal: Printer,
): void {
  const { bold, dim } = terminal.color;
  terminal.line(`${bold(layer)}  ${operator}, [${dims.join(", ")}], ${integer(parameters)} weights`);
  if (channels !== undefined) for (const line of channelLines(channels)) terminal.line(line);
  terminal.table(
    [{ title: "technique, on this layer alone" }, { title: "mildest setting" }, { title: "result" }],
    techniques.map(({ kind, setting, text }) => [
      kindWords[kind].title,
      setting === undefined ? dim("none") : `${kind === "channels" ? "about " : ""}${kindWords[kind].text(setting)}`,
      text,
    ]),
  );
  terminal.line(`next: pith sensitivity ${quoteWord(model)} --data SAMPLES --layers ${quoteWord(layer)}`);
}

function channelLines({
  count,
  free,
  freeThroughNorms,
  together,
  reasons,
  one,
}: ChannelsExplanation): readonly string[] {
  const coupledText = together.length === 0 ? "" : `, together with those of ${joinList(together, 6)}`;
  return [
    `channels: ${free} of ${count} can be removed${coupledText}`,
    ...reasons.map(({ channels, reason }) => `  ${counted(channels, "channel")} cannot: ${reason}`),
    ...(freeThroughNorms > free
      ? [`  with --through-norms ${freeThroughNorms} of ${count} can; the result needs pith recover`]
      : []),
    ...(one === undefined ? [] : [`  channel ${one.channel}: ${channelText(one)}`]),
  ];
}

function channelText({ from, reason }: NonNullable<ChannelsExplanation["one"]>): string {
  if (from === undefined) return `kept at any amount: ${reason}`;
  return `removed by pith prune --structured ${Number((100 * from).toFixed(1))}% --importance magnitude, and by any larger amount`;
}

async function measureWeights(model: Model, session: ProcessSession): Promise<readonly WeightStatistics[]> {
  const layers = allLayers(model, infer(model));
  const engine = createEngine();
  session.stage("weights");
  const products = engineMultiply(engine);
  const rows: WeightStatistics[] = [];
  for (const [index, { name, effective, role }] of layers.entries()) {
    throwIfAborted(session.signal);
    session.progress(index, layers.length);
    // Packed blocks contain quantized values instead of weights.
    if (role.packed !== undefined) continue;
    const matrix = fromDense(await readStoredValue(model, effective, engine));
    rows.push({ name, ...measureRange(matrix.data), ranks: await ranksOf(matrix, products.multiply) });
  }
  session.progress(layers.length, layers.length);
  await products.release();
  return rows;
}

function measureRange(numbers: Float64Array): Pick<WeightStatistics, "zeros" | "least" | "greatest"> {
  let [zeros, least, greatest] = [0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of numbers) {
    if (value === 0) zeros++;
    // NaN stays.
    least = Math.min(least, value);
    greatest = Math.max(greatest, value);
  }
  return { zeros: numbers.length === 0 ? 0 : zeros / numbers.length, least, greatest };
}

async function ranksOf(matrix: Matrix, multiply: Multiply): Promise<WeightStatistics["ranks"]> {
  const total = Math.min(matrix.rows, matrix.columns);
  if (total === 0 || total > maxDecomposed || !matrix.data.every(Number.isFinite)) return undefined;
  const shares = await energyShares(matrix, multiply);
  return { of: total, holding: shownEnergies.map((energy) => rankForEnergy(shares, energy)) };
}
