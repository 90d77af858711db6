/**
 * Optimizers: in place on the very arrays that the step graph is fed with.
 *
 * An optimizer is a rule for one parameter and a few arrays that it keeps beside it (momentum, moments), of the parameter's type. Arithmetic
 * is in float64 per element, stored in the array's own precision. What it keeps can be taken out and put back to the bit, so a checkpoint
 * holds it as tensors.
 */
import { PithError } from "../errors.ts";
import { dimsText } from "../tensor/dims.ts";
import type { Batch, Dense } from "../tensor/types.ts";

export type Floats = Float32Array | Float64Array;

/** A parameter as the optimizer sees it. */
export interface Trained {
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
  /** One step of all parameters at this learning rate. */
  update(parameters: readonly Trained[], learningRate: number): void;
  /** What is kept between steps, as copies: `<parameter>/<slot>`, and the number of steps. */
  state(parameters: readonly Trained[]): Batch;
  /** The inverse of `state`. @throws PithError E_DATA if the state is of other parameters or of another optimizer. */
  restore(parameters: readonly Trained[], state: Batch): void;
}

/** How one parameter moves in one step. */
export interface Rule {
  readonly name: string;
  readonly carry?: number;
  /** The arrays that are kept beside a parameter; zero at first. */
  readonly slots: readonly string[];
  /** `count` is 1 at the first step. */
  step(parameter: Trained, slots: readonly Floats[], learningRate: number, count: number): void;
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
  const kept = new Map<string, readonly Floats[]>();
  let count = 0;
  const slotsOf = ({ name, values }: Trained): readonly Floats[] => {
    const found = kept.get(name) ?? rule.slots.map(() => like(values));
    kept.set(name, found);
    return found;
  };
  const named = (parameter: Trained): readonly (readonly [string, Floats])[] =>
    parameter.carried
      ? [[carriedSlot, parameter.gradient]]
      : slotsOf(parameter).map((array, at) => [rule.slots[at] ?? "", array]);
  return {
    name: rule.name,
    ...(rule.carry === undefined ? {} : { carry: rule.carry }),
    update(parameters, learningRate) {
      count++;
      for (const parameter of parameters) {
        const slots = parameter.carried ? [] : slotsOf(parameter);
        rule.step(parameter, slots, learningRate * parameter.rate, count);
      }
    },
    state: (parameters) =>
      Object.fromEntries([
        [counter, dense(Float64Array.of(count))],
        ...parameters.flatMap((parameter) =>
          named(parameter).map(([slot, array]) => [`${parameter.name}/${slot}`, dense(array.slice())] as const),
        ),
      ]),
    restore(parameters, state) {
      const found = (name: string, length: number): Floats => {
        const tensor = state[name];
        if (tensor !== undefined && tensor.data instanceof Float64Array && tensor.data.length === length)
          return tensor.data;
        if (tensor !== undefined && tensor.data instanceof Float32Array && tensor.data.length === length)
          return tensor.data;
        const got = tensor === undefined ? "nothing" : `${tensor.type}${dimsText(tensor.dims)}`;
        throw new PithError("E_DATA", `The state of ${rule.name} needs "${name}" of ${length} floats, got ${got}.`, {
          hint: "It continues with the model, the layers and the optimizer that it was stopped with.",
        });
      };
      count = found(counter, 1)[0] ?? 0;
      for (const parameter of parameters)
        for (const [slot, array] of named(parameter)) array.set(found(`${parameter.name}/${slot}`, array.length));
    },
  };
}

function like(values: Floats): Floats {
  return values instanceof Float32Array ? new Float32Array(values.length) : new Float64Array(values.length);
}

function dense(data: Floats): Dense {
  const dims = [data.length];
  return data instanceof Float32Array ? { type: "float32", dims, data } : { type: "float64", dims, data };
}
