/** Losses of numbers against numbers: a function of the error, as a mean over all entries. */
import { PithError } from "../../errors.ts";
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import { elementCount, fixedDims } from "../../tensor/dims.ts";
import { inFloat32, type Loss, type LossOptions, outputOf, scalar, scaledSum, targetLike } from "../loss.ts";

/** factor · mean of what `entries` makes of the error e = output - target. */
function ofErrors(name: string, options: LossOptions, entries: (emit: Emit, error: Value) => Value, factor = 1): Loss {
  return {
    name,
    build(scope) {
      const { emit } = scope;
      const output = inFloat32(emit, outputOf(scope, options.output));
      const target = targetLike(scope, output, options.label ?? "label");
      const count = elementCount(fixedDims(output.type?.dims) ?? []);
      const each = entries(emit, emit.Sub([output, target.value]));
      return { value: scaledSum(emit, each, factor / count), feeds: target.feeds };
    },
  };
}

/**
 * Mean squared error: mean of e².
 * @example
 * await train(net, { data, loss: meanSquaredError({ label: "price" }) });
 */
export function meanSquaredError(options: LossOptions = {}): Loss {
  return ofErrors("mse", options, (emit, error) => emit.Mul([error, error]));
}

/**
 * Mean absolute error: mean of |e|; its derivative at 0 is 0.
 * @example
 * await train(net, { data, loss: meanAbsoluteError() });
 */
export function meanAbsoluteError(options: LossOptions = {}): Loss {
  return ofErrors("mae", options, (emit, error) => emit.Abs([error]));
}

export interface HuberOptions extends LossOptions {
  /** Where the square ends and the straight line begins (default 1). */
  readonly delta?: number | undefined;
}

/**
 * Huber's loss (1964): mean of e²/2 where |e| < δ, δ(|e| - δ/2) beyond.
 * @throws PithError E_OPTION for a δ that is not above 0.
 * @example
 * await train(net, { data, loss: huber({ delta: 0.5 }) });
 */
export function huber({ delta = 1, ...options }: HuberOptions = {}): Loss {
  if (!(delta > 0)) throw new PithError("E_OPTION", `Huber's delta must be above 0, got ${delta}.`);
  // With c = e cut off at ±δ: c·(e - c/2) is both branches.
  return ofErrors("huber", options, (emit, error) => {
    const cut = emit.Clip([error, scalar(emit, -delta), scalar(emit, delta)]);
    return emit.Mul([cut, emit.Sub([error, emit.Mul([cut, scalar(emit, 0.5)])])]);
  });
}
