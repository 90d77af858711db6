import { expect, test } from "vitest";
import { parseModel } from "../graph/text.ts";
import { unevenChannels } from "./uneven-channels.ts";

/** Builds three convolutions with these numbers of output channels, and a matrix product with five. */
const net = (a: number, b: number, c: number) =>
  parseModel(`opset 21
graph (x: float32[1, 3, 8, 8]) -> (y: float32[1, 5]) {
  a.weight: float32[${a}, 3, 3, 3] parameter = random(seed 1)
  b.weight: float32[${b}, ${a}, 3, 3] parameter = random(seed 2)
  c.weight: float32[${c}, ${b}, 3, 3] parameter = random(seed 3)
  fc.weight: float32[${c}, 5] parameter = random(seed 4)
  p = Conv(x, a.weight) {pads=[1, 1, 1, 1]}
  q = Conv(p, b.weight) {pads=[1, 1, 1, 1]}
  r = Conv(q, c.weight) {pads=[1, 1, 1, 1]}
  s = GlobalAveragePool(r)
  t = Flatten(s)
  y = MatMul(t, fc.weight)
}`);

test("unevenChannels counts convolutions whose changed channel count does not fill whole blocks", () => {
  expect(unevenChannels(net(16, 32, 48), net(9, 16, 40))).toEqual({ layers: 2, convolutions: 3, counts: [9, 40] });
  expect(unevenChannels(net(16, 32, 48), net(9, 9, 9))).toEqual({ layers: 3, convolutions: 3, counts: [9] });
});

test("unevenChannels ignores a layer whose uneven channel count did not change", () => {
  expect(unevenChannels(net(24, 32, 48), net(24, 16, 32))).toEqual({ layers: 0, convolutions: 3, counts: [] });
});
