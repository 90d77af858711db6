/** Protobuf messages and models for tests of the file format. */

import type { Model } from "../../../src/core/graph/model.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { type Piece, streamChunks, Writer } from "../../../src/core/onnx/writer.ts";

/** A message in wire format. */
export function message(fill: (writer: Writer) => void, carried?: Uint8Array): Promise<Uint8Array> {
  const writer = new Writer(carried);
  fill(writer);
  return joined(writer.finish());
}

export async function joined(pieces: readonly Piece[]): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of streamChunks(pieces)) chunks.push(chunk);
  return Uint8Array.from(Buffer.concat(chunks));
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

export function fromHex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, "hex"));
}

/** A model with a bit of everything that a file can say. */
export function richModel(): Model {
  const model = parseModel(`
    opset 21, com.example 3
    graph (x: float32[batch, 3, 8, 8], flag: bool[], other: float32[batch, "2*n + 1"]) -> (y: float32[batch, 10], z: float32[...]) {
      conv.weight: float32[32, 3, 5, 5] parameter = random(seed 1)
      conv.bias: float32[32] parameter = random(seed 2)
      mask: float32[32, 3, 5, 5] mask = ones
      small: int4[5] = [-8, 7, 0, 1, -1]
      words: string[3] = ["a", "", "\u00fc"]
      fc: float32[8192, 10] tied(head.weight, transposed) = random(seed 3)
      masked: float32[32, 3, 5, 5] straight-through = Mul(conv.weight, mask)
      h: float32[batch, 32, 16, 16] = Conv "first" (x, masked, conv.bias) {pads=[6, 6, 6, 6], auto_pad="NOTSET"}
      r: float32[batch, 32, 16, 16] = Relu(h)
      f = Flatten(r) {axis=1}
      y = MatMul(f, fc)
      w = com.example.Words(words, small) {alpha=0.5, names=["p", "q"], scales=[1.5, 2.5], shape=int64[2] [3, -1]}
      z = If(flag) {
        then_branch=graph () -> (t) { one: float32[1] = [1.0] t = Add(f, one) },
        else_branch=graph () -> (e) { e = Identity(other) }
      }
    }`);
  model.header.producerName = "test";
  model.header.doc = "a model";
  model.header.metadata.set("author", "nobody");
  model.graph.name = "main";
  const h = model.graph.value("h");
  if (h !== undefined) h.metadata = new Map([["note", "after the first layer"]]);
  for (const node of model.graph.nodes()) {
    node.metadata = new Map([["pass", "test"]]);
    node.doc = "a node";
    break;
  }
  return model;
}
