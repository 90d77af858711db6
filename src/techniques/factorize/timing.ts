/** Times a chain and the layer that it replaces: in isolation, on one sample, on one thread. */
import type { Layer } from "#analysis";
import { asPithError, type DataType, emitInto, inMemory, Model, zeros } from "#ir";
import type { Engine, Session } from "../../core/engine/index.ts";
import { minTimesPerRun } from "../../runtime/run/relative-time.ts";
import { factorType, partDims } from "./chain.ts";
import type { PartShape } from "./decomposition.ts";

/** Sizes assumed for unknown dimensions: `defaultSide` along window axes, `defaultLength` along other axes, such as tokens. */
const [defaultSide, defaultLength] = [56, 128];

/** Number of measurements; the median ratio ignores a single disturbance by other processes. */
const runs = 3;

/** Measures speedups, once for layers of the same shape. */
export interface Timer {
  /** Returns layer time / chain time. Undefined if layer or chain cannot run as a separate model, or without processor time (browsers). */
  speedup(layer: Layer, dims: readonly number[], parts: readonly PartShape[]): Promise<number | undefined>;
}

interface Piece {
  readonly dims: readonly number[];
  readonly window: readonly number[];
}

export function createTimer(source: Model, engine: Engine, signal: AbortSignal): Timer {
  const speedups = new Map<string, Promise<number | undefined>>();
  return {
    speedup(layer, dims, parts) {
      const data = dataDims(layer);
      const { domain, op } = layer.node;
      const key = JSON.stringify([domain, op, layer.role.window, layer.role.groups, dims, data, parts]);
      const chain = parts.map((part): Piece => ({ dims: partDims(layer, dims, part), window: part.window }));
      const singlePart = [{ dims, window: (layer.role.window?.axes ?? []).map((_, axis) => axis) }];
      const speedup = speedups.get(key) ?? measureSpeedup(source, layer, [singlePart, chain], data, engine, signal);
      speedups.set(key, speedup);
      return speedup;
    },
  };
}

async function measureSpeedup(
  source: Model,
  layer: Layer,
  chains: readonly (readonly Piece[])[],
  dims: readonly number[],
  engine: Engine,
  signal: AbortSignal,
): Promise<number | undefined> {
  const type = layer.node.inputs[layer.role.data]?.type?.type ?? "float32";
  if (type === "string") return undefined;
  const sessions: Session[] = [];
  try {
    for (const pieces of chains)
      sessions.push(await engine.load(isolateLayer(source, layer, pieces, { type, dims }), { threads: 1 }));
    const ratios: number[] = [];
    const feeds = { data: zeros(type, dims) };
    for (let run = 0; run < runs; run++) {
      const [layerTime = Number.NaN, chainTime = Number.NaN] = await minTimesPerRun(sessions, feeds, signal);
      ratios.push(layerTime / chainTime);
    }
    const speedup = ratios.sort((a, b) => a - b)[(runs - 1) / 2] ?? Number.NaN;
    return Number.isFinite(speedup) && speedup > 0 ? speedup : undefined;
  } catch (error) {
    // A PithError means that the runtime lacks an operator; other errors are thrown again.
    asPithError(error);
    return undefined;
  } finally {
    for (const session of sessions) await session.release();
  }
}

/** Creates a model of a layer or chain with zero weights: the time does not depend on their values. */
function isolateLayer(
  source: Model,
  layer: Layer,
  pieces: readonly Piece[],
  data: { readonly type: DataType; readonly dims: readonly number[] },
): Model {
  const { node, role, name } = layer;
  const model = new Model();
  for (const [domain, version] of source.header.opsets) model.header.opsets.set(domain, version);
  model.header.functions = source.header.functions;
  model.graph.operators = source.graph.operators;
  const type = factorType(layer);
  const x = model.graph.addInput("data", data);
  const inputs = node.inputs.map((input, index) => {
    if (index === role.data) return x;
    return index === role.input || input?.tensor === undefined
      ? undefined
      : model.graph.addTensor(input.name, input.tensor);
  });
  const parts = pieces.map(({ dims, window }, index) => ({
    name: `${name}.${index}`,
    weight: model.graph.addTensor(`weight${index}`, inMemory(zeros(type, dims))),
    window,
  }));
  const y = role.chain?.(emitInto(model), inputs, parts);
  if (y !== undefined) model.graph.addOutput(y);
  return model;
}

function dataDims({ node, role }: Layer): readonly number[] {
  const size = role.window === undefined ? defaultLength : defaultSide;
  const dims = node.inputs[role.data]?.type?.dims ?? [1, size];
  return dims.map((dim, axis) => (typeof dim === "number" ? dim : axis === 0 && dims.length > 1 ? 1 : size));
}
