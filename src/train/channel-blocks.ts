/**
 * Convolutions of a step by the runtime's own operators on blocks of channels. Its optimizer writes them where kernels are stored; those of a
 * step are fed, so they are written here. How many channels a block has depends on the processor, and the runtime is asked.
 */
import type { Inference } from "../analysis/infer.ts";
import type { Engine } from "../engine/engine.ts";
import { Miss, PithError } from "../errors.ts";
import { emitInto } from "../graph/emit.ts";
import { Model } from "../graph/model.ts";
import { replaceNode } from "../graph/replace.ts";
import { oneBlock } from "../ops/shared/channel-blocks.ts";
import { float32 } from "../tensor/dense.ts";

const asked = new WeakMap<Engine, Promise<number | undefined>>();

/**
 * How many channels a block has on this machine; undefined where the runtime has no such operators (WebAssembly).
 * @example
 * const { step } = differentiate(model, { loss: "loss", wrt: () => true, channelBlock: await channelBlock(engine) });
 */
export function channelBlock(engine: Engine): Promise<number | undefined> {
  const known = asked.get(engine);
  if (known !== undefined) return known;
  const answer = ask(engine);
  asked.set(engine, answer);
  return answer;
}

async function ask(engine: Engine): Promise<number | undefined> {
  const model = new Model();
  const x = model.graph.addInput("x", { type: "float32", dims: [1, 4, 1, 1] });
  const y = oneBlock(emitInto(model), x);
  y.type = { type: "float32", dims: undefined };
  model.graph.addOutput(y);
  try {
    const session = await engine.load(model, { optimize: false, threads: 1 });
    try {
      const { [y.name]: blocked } = await session.run({ x: float32([1, 4, 1, 1], new Float32Array(4)) });
      const channels = blocked?.dims[1];
      return channels === undefined || channels % 4 !== 0 ? undefined : channels;
    } finally {
      await session.release();
    }
  } catch (error) {
    // There is no kernel of that name.
    if (error instanceof PithError && error.code === "E_ENGINE") return undefined;
    throw error;
  }
}

/** Puts nodes that are faster in blocks there, each with the reordering there and back. */
export function writeInChannelBlocks(model: Model, inference: Inference, block: number): void {
  for (const node of [...model.graph.nodes()]) {
    const bound = inference.at(node);
    if (bound instanceof Miss) continue;
    const emit = emitInto(model, { before: node, by: "train", onNode: inference.visit });
    const written = bound.inChannelBlocks(emit, node.inputs, block);
    if (written !== undefined) replaceNode(node, [written]);
  }
}
