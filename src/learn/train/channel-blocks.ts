/** Writes nodes of a training step in channel blocks (NCHWc): ONNX Runtime's optimizer does so only for stored kernels, and these are inputs. */
import type { Inference } from "#analysis";
import type { Emit, Node, Value } from "#ir";
import {
  elementCount,
  emitInto,
  fixedDims,
  float32,
  getOrAdd,
  Miss,
  Model,
  PithError,
  removeUnused,
  replaceNode,
  replaceUses,
  sameDims,
} from "#ir";
import type { Engine } from "../../core/engine/engine.ts";
import { entryOf } from "../../core/ops/index.ts";
import {
  blockedFormOf,
  createBlocks,
  reorderFromBlocks,
  reorderOneBlock,
} from "../../core/ops/shared/channel-blocks.ts";

const blockSizes = new WeakMap<Engine, Promise<number | undefined>>();

/** Returns undefined if the runtime has no such operators (WebAssembly). */
export function channelsPerBlock(engine: Engine): Promise<number | undefined> {
  return getOrAdd(blockSizes, engine, () => measureBlock(engine));
}

/** The output of one operator in blocks shows the channels per block. */
async function measureBlock(engine: Engine): Promise<number | undefined> {
  const model = new Model();
  const x = model.graph.addInput("x", { type: "float32", dims: [1, 4, 1, 1] });
  const y = reorderOneBlock(emitInto(model), x);
  y.type = { type: "float32", dims: undefined };
  model.graph.addOutput(y);
  try {
    const session = await engine.load(model, { optimize: false, threads: 1 });
    try {
      const { [y.name]: blockedOutput } = await session.run({ x: float32([1, 4, 1, 1], new Float32Array(4)) });
      const channels = blockedOutput?.dims[1];
      return channels === undefined || channels % 4 !== 0 ? undefined : channels;
    } finally {
      await session.release();
    }
  } catch (error) {
    if (error instanceof PithError && error.code === "E_ENGINE") return undefined;
    throw error;
  }
}

/** Writes nodes that are faster in channel blocks, and element-wise nodes whose operands are in blocks already. */
export function writeInChannelBlocks(model: Model, inference: Inference, block: number): void {
  for (const node of [...model.graph.nodes()]) {
    const bound = inference.at(node);
    if (bound instanceof Miss) continue;
    const emit = emitInto(model, { before: node, by: "train", onNode: inference.visit });
    const outputInBlocks = bound.inChannelBlocks(emit, node.inputs, block);
    if (outputInBlocks !== undefined) replaceNode(node, outputInBlocks);
    else if (entryOf(node)?.byElement === true) writeElementwiseInBlocks(node, emit, block);
  }
  removeUnused(model.graph);
  model.graph.sort();
}

/** Writes an element-wise node in blocks if one operand is in blocks and the others have the same shape or are scalars. */
function writeElementwiseInBlocks(node: Node, emit: Emit, block: number): void {
  const { graph, inputs } = node;
  const [y] = node.outputs;
  const dims = fixedDims(y?.type?.dims);
  if (y === undefined || dims === undefined || y.type?.type !== "float32" || graph.isOutput(y)) return;
  const fullOperands = inputs.flatMap((x, input) => (sameDims(fixedDims(x?.type?.dims) ?? [], dims) ? [input] : []));
  const isScalar = (x: Value | undefined): boolean => elementCount(fixedDims(x?.type?.dims) ?? [0]) === 1;
  if (!inputs.every((x, input) => fullOperands.includes(input) || isScalar(x))) return;
  if (!fullOperands.some((input) => blockedFormOf(inputs[input], block) !== undefined)) return;
  const blocks = createBlocks(emit, block);
  for (const input of fullOperands) graph.setInput(node, input, blocks.toBlocked(inputs[input] as Value));
  const restoredOutput = reorderFromBlocks(emit, y);
  replaceUses(y, restoredOutput, restoredOutput.producer);
}
