/**
 * Embeddings as ONNX Runtime fuses them: the sum of rows of up to three tables (words, places, segments), normalized over its last axis; also how
 * many ones each row of the mask has, and the sum itself. QEmbedLayerNormalization has its tables as codes of 8 bits.
 */
import { Miss } from "../../errors.ts";
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import { type DataType, typeCodes } from "../../tensor/types.ts";
import { defineOp, type Inferred, type Op, type Site, type Wanted } from "../define.ts";
import { decimal } from "../shared/attributes.ts";
import { decoded } from "../shared/codes.ts";
import { quantizedAlready } from "../shared/misses.ts";
import { integersConstant, positions, scalar } from "../shared/rules.ts";

const microsoft = "com.microsoft";

interface EmbedSettings {
  readonly epsilon: number;
  readonly outputs: number;
}

/** Word, position and segment table, scale and shift of EmbedLayerNormalization, whose codes are numbers again. */
interface Embedding {
  readonly ids: Value;
  readonly segments: Value | undefined;
  readonly positions: Value | undefined;
  readonly mask: Value | undefined;
  readonly words: Value | undefined;
  readonly places: Value | undefined;
  readonly segmentTable: Value | undefined;
  readonly scale: Value | undefined;
  readonly shift: Value | undefined;
}

/** The result, the ones in each row of the mask (0 without one), the sum. Positions count from 0 where they are not given. */
function embed(emit: Emit, e: Embedding, epsilon: number): readonly [Value, Value, Value] {
  const rows = (table: Value | undefined, indices: Value): Value => emit.Gather([table, indices], { axis: 0 });
  const length = emit.Shape([e.ids], { start: 1, end: 2 });
  const places =
    e.positions === undefined
      ? emit.Slice([e.places, integersConstant(emit, [0]), length, integersConstant(emit, [0])])
      : rows(e.places, e.positions);
  const both = emit.Add([rows(e.words, e.ids), places]);
  const sum =
    e.segments === undefined || e.segmentTable === undefined
      ? both
      : emit.Add([both, rows(e.segmentTable, e.segments)]);
  const count = (): Value => {
    const mask = e.mask ?? emit.Sub([e.ids, e.ids]);
    const ones = emit.Cast([emit.Equal([mask, scalar(emit, "int32", 1)])], { to: typeCodes.int32 });
    return emit.ReduceSum([ones, integersConstant(emit, [1])], { keepdims: 0 });
  };
  return [emit.LayerNormalization([sum, e.scale, e.shift], { axis: -1, epsilon }), count(), sum];
}

const EmbedLayerNormalization = defineOp<EmbedSettings>({
  name: "EmbedLayerNormalization",
  domain: microsoft,
  read: (site) => ({ epsilon: decimal(site, "epsilon", 1e-12), outputs: site.outputs }),
  infer: (_, site) => embedded(site, site.inputs[5]?.type ?? "float32"),
  wants: (_, site) => [...inTables(site), ...positions(8, site.inputs[3]?.dims?.[0])],
  parameters: [2, 3, 4, 5, 6],
  scales: () => [5],
  weight: new Miss("is a lookup in several tables"),
  axes: new Miss("is normalized over the axis that its tables share"),
  lower: (s, emit, [ids, segments, words, places, segmentTable, scale, shift, mask, positions]) => {
    const all = { ids, segments, positions, mask, words, places, segmentTable, scale, shift };
    return embed(emit, all, s.epsilon).slice(0, s.outputs);
  },
});

/** The result, the counts, the sum, of ids (batch × length) and a table of words. */
function embedded(site: Site, type: DataType): readonly Inferred[] {
  const ids = site.inputs[0]?.dims;
  const width = site.inputs[2]?.dims?.[1];
  const dims = ids === undefined || width === undefined ? undefined : [...ids, width];
  return [
    { type, dims },
    { type: "int32", dims: ids?.slice(0, 1) },
    { type, dims },
  ];
}

/** Words and segments, each within its table; a mask of 0 and 1. */
function inTables({ inputs }: Site): readonly Wanted[] {
  return [
    ...positions(0, inputs[2]?.dims?.[0]),
    ...positions(1, inputs[4]?.dims?.[0]),
    { input: 7, low: 0, high: 1, strict: false },
  ];
}

const QEmbedLayerNormalization = defineOp<number>({
  name: "QEmbedLayerNormalization",
  domain: microsoft,
  read: (site) => decimal(site, "epsilon", 1e-12),
  infer: (_, site) => embedded(site, site.inputs[8]?.type ?? "float32").slice(0, 2),
  wants: (_, site) => inTables(site),
  weight: new Miss("is a lookup in several tables"),
  axes: quantizedAlready,
  lower: (epsilon, emit, inputs) => {
    const [ids, segments, , , , , , mask] = inputs;
    // Five tables from input 2 on, their scales from 8 on, their zero points from 13 on.
    const table = (index: number): Value => decoded(emit, inputs[2 + index], inputs[8 + index], inputs[13 + index]);
    const segmentTable = inputs[4] === undefined ? undefined : table(2);
    const tables = { words: table(0), places: table(1), segmentTable, scale: table(3), shift: table(4) };
    return embed(emit, { ids, segments, positions: undefined, mask, ...tables }, epsilon).slice(0, 2);
  },
  gradient: new Miss("its input is integers"),
  quantize: quantizedAlready,
});

export const microsoftEmbedOperators: readonly Op[] = [EmbedLayerNormalization, QEmbedLayerNormalization];
