/**
 * An optimizer is a rule for one parameter and its arrays, changed in place in the parameter's type. The state belongs to the
 * parameter arrays, so it starts from zero for another network.
 */
import { PithError } from "../../core/errors.ts";
import { dimsText } from "../../core/tensor/dims.ts";
import type { Batch } from "../../core/tensor/types.ts";
import { denseOf, type Floats, floatsOf, zerosLike } from "./floats.ts";

export interface OptimizedParameter {
  readonly name: string;
  readonly values: Floats;
  readonly gradient: Floats;
  /** Whether the gradient already contains the momentum: the step graph has added `carry` times the previous gradient. */
  readonly carried: boolean;
  /** Whether weight decay applies: to matrices and kernels, but not to norms and biases. */
  readonly decays: boolean;
}

export interface Optimizer {
  readonly name: string;
  /** Factor of the previous gradient that the step graph can add instead of momentum here. */
  readonly carry?: number;
  update(parameters: readonly OptimizedParameter[], learningRate: number): void;
  /** Returns copies of the state: `<parameter>/<slot>`, and the number of steps. */
  state(parameters: readonly OptimizedParameter[]): Batch;
  /** The inverse of `state`. @throws PithError E_DATA if the state belongs to other parameters or another optimizer. */
  restore(parameters: readonly OptimizedParameter[], state: Batch): void;
}

export interface Rule {
  readonly name: string;
  readonly carry?: number;
  /** Names of the arrays kept per parameter, which start at zero. */
  readonly slots: readonly string[];
  /** `count` is 1 at the first step. */
  step(parameter: OptimizedParameter, slots: readonly Floats[], learningRate: number, count: number): void;
}

interface ParameterState {
  count: number;
  readonly slots: readonly Floats[];
}

/** The slot of a carried gradient, whose last value the step graph adds. */
const carriedSlot = "carried";
const counter = "steps";

/**
 * Creates an optimizer from a rule.
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
        rule.step(parameter, kept.slots, learningRate, kept.count);
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
