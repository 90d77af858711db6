/** Choosing between values: Where, Clip. Opset history: Clip takes its bounds as attributes before 11, as inputs since. */
import { Miss } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import { decimal } from "./attributes.ts";
import { defineOp, noParameters, type Op } from "./define.ts";
import { broadcast, broadcastAxes, dimsAt, need, noMacs, sameAsInput, sameAxes, scalar, typeOf } from "./rules.ts";

const Where = defineOp<null>({
  name: "Where",
  read: () => null,
  infer: (_, site) => {
    const { type } = need(site, 1);
    const shapes = [0, 1, 2].flatMap((input) => {
      const dims = dimsAt(site, input);
      return dims instanceof Miss ? [] : [dims];
    });
    if (shapes.length < 3) return [{ type, dims: undefined }];
    const dims = broadcast(...shapes);
    return dims instanceof Miss ? dims : [{ type, dims }];
  },
  parameters: noParameters,
  weight: new Miss("has no weight"),
  axes: (_, site) => broadcastAxes(site),
  lower: new Miss("is primitive"),
  gradient: (_, { emit, inputs: [condition], upstream: [up], wanted }) => {
    if (condition === undefined || up === undefined) return [];
    const zero = scalar(emit, typeOf(up), 0);
    return [
      undefined,
      wanted(1) ? emit.Where([condition, up, zero]) : undefined,
      wanted(2) ? emit.Where([condition, zero, up]) : undefined,
    ];
  },
  cost: noMacs,
  quantize: new Miss("runs in float"),
});

interface Bounds {
  readonly low: number | undefined;
  readonly high: number | undefined;
}

/** On a bound the gradient passes (as in PyTorch); outside it is 0. The bounds themselves get none. */
const Clip = defineOp<Bounds>({
  name: "Clip",
  read: (site) =>
    site.version < 11
      ? { low: decimal(site, "min", -3.4028234663852886e38), high: decimal(site, "max", 3.4028234663852886e38) }
      : { low: undefined, high: undefined },
  infer: (_, site) => sameAsInput(site),
  parameters: noParameters,
  weight: new Miss("has no weight"),
  axes: (_, site) => sameAxes(site),
  lower: new Miss("is primitive"),
  gradient: (s, { emit, inputs: [x, low, high], upstream: [up] }) => {
    if (x === undefined || up === undefined) return [];
    const bounds: readonly (readonly [Value | undefined, "GreaterOrEqual" | "LessOrEqual"])[] = [
      [low ?? (s.low === undefined ? undefined : scalar(emit, typeOf(x), s.low)), "GreaterOrEqual"],
      [high ?? (s.high === undefined ? undefined : scalar(emit, typeOf(x), s.high)), "LessOrEqual"],
    ];
    const zero = scalar(emit, typeOf(x), 0);
    return [
      bounds.reduce(
        (part, [bound, test]) => (bound === undefined ? part : emit.Where([emit[test]([x, bound]), part, zero])),
        up,
      ),
    ];
  },
  cost: noMacs,
  quantize: () => ({ kind: "transparent" }),
});

export const selectOperators: readonly Op[] = [Where, Clip];
