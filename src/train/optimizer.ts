/**
 * Optimizers: in place on the very arrays that the step graph is fed with.
 *
 * An optimizer is a rule for one parameter and a few arrays that it keeps beside it (momentum, moments), of the parameter's type. Arithmetic
 * is in that type: of float32, a step differs from one in float64 by a rounding of the weight (2⁻²⁴ of it) and a few of the step. What it keeps
 * can be taken out and put back to the bit, so a checkpoint holds it as tensors. It goes with the arrays of the parameters: an optimizer that
 * has trained one network begins anew with the next.
 */
import { PithError } from "../errors.ts";
import { dimsText } from "../tensor/dims.ts";
import type { Batch } from "../tensor/types.ts";
import { denseOf, type Floats, floatsOf, zerosLike } from "./floats.ts";

export interface OptimizedParameter {
  readonly name: string;
  readonly values: Floats;
  readonly gradient: Floats;
  /** True if the gradient holds the optimizer's momentum already: the step graph has added `carry` times the gradient before. */
  readonly carried: boolean;
  /** Whether weight decay is for it: for matrices and kernels it is, for norms and biases not. */
  readonly decays: boolean;
  /** Factor of the learning rate. */
  readonly rate: number;
}

export interface Optimizer {
  readonly name: string;
  /** A factor of the gradient before that the step graph may add to the gradient, in place of momentum here. */
  readonly carry?: number;
  update(parameters: readonly OptimizedParameter[], learningRate: number): void;
  /** What is kept between steps, as copies: `<parameter>/<slot>`, and the number of steps. */
  state(parameters: readonly OptimizedParameter[]): Batch;
  /** The inverse of `state`. @throws PithError E_DATA if the state is of other parameters or of another optimizer. */
  restore(parameters: readonly OptimizedParameter[], state: Batch): void;
}

/** How one parameter moves in one step. */
export interface Rule {
  readonly name: string;
  readonly carry?: number;
  /** The arrays that are kept beside a parameter; zero at first. */
  readonly slots: readonly string[];
  /** `count` is 1 at the first step. */
  step(parameter: OptimizedParameter, slots: readonly Floats[], learningRate: number, count: number): void;
}

interface ParameterState {
  count: number;
  readonly slots: readonly Floats[];
}

/** The slot that a carried gradient is: what the step graph adds to it is its own last value. */
const carriedSlot = "carried";
const counter = "steps";

/**
 * An optimizer of a rule.
 * @example
 * const signs = defineOptimizer({ name: "signs", slots: [], step: ({ values, gradient }, _, rate) =>
 *   values.forEach((value, i) => { values[i] = value - rate * Math.sign(gradient[i] ?? 0); }) });
 */
export function defineOptimizer(rule: Rule): Optimizer {
  const all = new WeakMap<Floats, ParameterState>();
  const keptOf = ({ values, carried }: OptimizedParameter): ParameterState => {
    const found = all.get(values) ?? { count: 0, slots: carried ? [] : rule.slots.map(() => zerosLike(values)) };
    all.set(values, found);
    return found;
  };
  const named = (parameter: OptimizedParameter): readonly (readonly [string, Floats])[] =>
    parameter.carried
      ? [[carriedSlot, parameter.gradient]]
      : keptOf(parameter).slots.map((array, at) => [rule.slots[at] ?? "", array]);
  return {
    name: rule.name,
    ...(rule.carry === undefined ? {} : { carry: rule.carry }),
    update(parameters, learningRate) {
      for (const parameter of parameters) {
        const kept = keptOf(parameter);
        kept.count++;
        rule.step(parameter, kept.slots, learningRate * parameter.rate, kept.count);
      }
    },
    state: (parameters) =>
      Object.fromEntries([
        [counter, denseOf(Float64Array.of(parameters[0] === undefined ? 0 : keptOf(parameters[0]).count))],
        ...parameters.flatMap((parameter) =>
          named(parameter).map(([slot, array]) => [`${parameter.name}/${slot}`, denseOf(array.slice())] as const),
        ),
      ]),
    restore(parameters, state) {
      const found = (name: string, length: number): Floats => {
        const tensor = state[name];
        const floats = floatsOf(tensor, length);
        if (floats !== undefined) return floats;
        const got = tensor === undefined ? "nothing" : `${tensor.type}${dimsText(tensor.dims)}`;
        throw new PithError("E_DATA", `The state of ${rule.name} needs "${name}" of ${length} floats, got ${got}.`, {
          hint: "Training resumes only with the same model, layers and optimizer.",
        });
      };
      const [count = 0] = found(counter, 1);
      for (const parameter of parameters) {
        keptOf(parameter).count = count;
        for (const [slot, array] of named(parameter)) array.set(found(`${parameter.name}/${slot}`, array.length));
      }
    },
  };
}
