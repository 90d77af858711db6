import { expect, test } from "vitest";
import { float32, int64 } from "../../tensor/dense.ts";
import type { Batch } from "../../tensor/types.ts";
import { type Order, type PageMessage, pack, unpack } from "./messages.ts";

const feeds: Batch = {
  odd: { type: "uint8", dims: [3], data: Uint8Array.of(1, 2, 255) },
  wide: int64([2], [-1n, 2n ** 62n]),
  empty: float32([2, 0], []),
  // A part of a larger array, whose bytes begin anywhere.
  part: float32([2], Float32Array.of(9, 1.5, Number.NaN, 9).subarray(1, 3)),
  text: { type: "string", dims: [1], data: ["é"] },
};

test("an order comes back as it was sent, tensors element by element", () => {
  const order: Order = { kind: "run", session: 3, feeds, names: ["y"] };
  expect(unpack<Order>(pack(order))).toEqual(order);
});

test("a message may begin anywhere in the memory that it was read into", () => {
  const bytes = pack({ kind: "answer", answer: feeds });
  const shifted = new Uint8Array(bytes.byteLength + 5);
  shifted.set(bytes, 5);
  expect(unpack<PageMessage>(shifted.subarray(5))).toEqual({ kind: "answer", answer: feeds });
});

test("what holds no tensor is plain data, whatever it is called", () => {
  const fault = { name: "Error", message: 'dims: [1], at: "7"', stack: undefined, code: undefined, advice: [] };
  expect(unpack<PageMessage>(pack({ kind: "fault", fault, cause: undefined }))).toMatchObject({
    kind: "fault",
    fault: { message: fault.message, advice: [] },
  });
});
