/** NhwcMaxPool: the maximum of integers in windows of N × spatial × C. */
import { Miss } from "#graph";
import { toChannelsFirst, toChannelsLast, transposeAround } from "../shared/convolution.ts";
import { defineMicrosoftOp } from "../shared/inert.ts";
import { quantizedAlready } from "../shared/misses.ts";
import { inferShape } from "../shared/shapes.ts";
import { channelAxes, poolAttributes, poolDims, readPool, type Window } from "../shared/window.ts";

export const NhwcMaxPool = defineMicrosoftOp<Window>({
  name: "NhwcMaxPool",
  read: readPool,
  infer: (s, site) => inferShape(site, (dims) => toChannelsLast(poolDims(s, toChannelsFirst(dims)))),
  axes: ({ kernel }) => channelAxes(kernel.length + 1),
  lower: (s, emit, [data]) => [
    transposeAround(emit, s.kernel.length + 2, [data], (first) => emit.MaxPool(first, poolAttributes(s))),
  ],
  gradient: new Miss("selects among integers"),
  quantize: quantizedAlready,
});
