/** Checks the round trip of models from another protobuf implementation, for the quick and the slow test. */

import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import { modelFields } from "../../../src/core/onnx/field-numbers.ts";
import { splitFields } from "../../../src/core/onnx/fields.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { Writer } from "../../../src/core/onnx/writer.ts";
import { random } from "../../../src/core/tensor/random.ts";
import { joined } from "./messages.ts";
import { fromPlain, toPlain } from "./oracle.ts";
import { randomModel } from "./random-model.ts";

/** Returns the fault of the round trip of a random model; undefined if it has none. */
export async function roundTripFault(seed: number): Promise<string | undefined> {
  const bytes = fromPlain(randomModel(seed));
  const model = await open(bytes);
  if (Buffer.compare(await encodeToBytes(model), bytes) !== 0) return `model ${seed} is another one`;
  if (Buffer.compare(await encodeToBytes(model.clone()), bytes) !== 0)
    return `the copy of model ${seed} is another one`;
  const mixed = await outOfOrder(bytes, seed);
  const again = await encodeToBytes(await open(mixed));
  const [expected, got] = [toPlain(mixed), toPlain(again)].map((message) => JSON.stringify(message));
  return expected === got ? undefined : `model ${seed} says something else once its fields are in another order`;
}

/** Returns the messages with the fields of model and graph in random order. Repeated fields keep their relative order. */
async function outOfOrder(bytes: Uint8Array, seed: number): Promise<Uint8Array> {
  const numbers = random(seed, "order");
  const shuffled = async (message: Uint8Array, inner: (number: number, whole: Uint8Array) => Promise<Uint8Array>) => {
    const fields = splitFields(message);
    const rank = new Map(fields.map(({ number }) => [number, numbers.uniform()]));
    const parts: Uint8Array[] = [];
    for (const { number, bytes } of fields.toSorted((a, b) => (rank.get(a.number) ?? 0) - (rank.get(b.number) ?? 0)))
      parts.push(await inner(number, bytes ?? new Uint8Array(0)));
    return Uint8Array.from(Buffer.concat(parts));
  };
  return shuffled(bytes, async (number, whole) => {
    if (number !== modelFields.graph) return whole;
    const [field] = splitFields(whole);
    const graph = await shuffled(whole.subarray(field?.start ?? 0), async (_, part) => part);
    const writer = new Writer();
    writer.bytes(modelFields.graph, graph);
    return joined(writer.finish());
  });
}
