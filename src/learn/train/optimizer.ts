/** An optimizer is a rule for one parameter and its arrays, changed in place. State belongs to these arrays: another network starts from zero. */
import { type Batch, getOrAdd } from "#ir";
import { denseOf, type Floats, requireFloats, zerosLike } from "./floats.ts";
import { runKernel } from "./kernels.ts";

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
  /** Momentum that the step graph can apply instead: it adds this factor times the previous gradient. */
  readonly carry?: number;
  update(parameters: readonly OptimizedParameter[], learningRate: number): void;
  /** Returns copies of the state: `<parameter>/<slot>`, and the number of steps. */
  state(parameters: readonly OptimizedParameter[]): Batch;
  /** The inverse of `state`. @throws PithError E_DATA if the state belongs to other parameters or another optimizer. */
  restore(parameters: readonly OptimizedParameter[], state: Batch): void;
}

export interface OptimizerRule {
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

/** State key of a gradient to which the step graph adds its previous value. */
const carriedSlot = "carried";
const stepsKey = "steps";

/**
 * Creates an optimizer from a rule.
 * @example
 * const signs = defineOptimizer({ name: "signs", slots: [], step: ({ values, gradient }, _, rate) =>
 *   values.forEach((value, i) => { values[i] = value - rate * Math.sign(gradient[i] ?? 0); }) });
 */
export function defineOptimizer(rule: OptimizerRule): Optimizer {
  const states = new WeakMap<Floats, ParameterState>();
  const stateOf = ({ values, carried }: OptimizedParameter): ParameterState =>
    getOrAdd(states, values, () => ({ count: 0, slots: carried ? [] : rule.slots.map(() => zerosLike(values)) }));
  const arraysOf = (parameter: OptimizedParameter): readonly (readonly [string, Floats])[] =>
    parameter.carried
      ? [[carriedSlot, parameter.gradient]]
      : stateOf(parameter).slots.map((array, index) => [rule.slots[index] ?? "", array]);
  return {
    name: rule.name,
    ...(rule.carry === undefined ? {} : { carry: rule.carry }),
    update(parameters, learningRate) {
      for (const parameter of parameters) {
        const state = stateOf(parameter);
        state.count++;
        rule.step(parameter, state.slots, learningRate, state.count);
      }
    },
    state: (parameters) =>
      Object.fromEntries([
        [stepsKey, denseOf(Float64Array.of(parameters[0] === undefined ? 0 : stateOf(parameters[0]).count))],
        ...parameters.flatMap((parameter) =>
          arraysOf(parameter).map(([slot, array]) => [`${parameter.name}/${slot}`, denseOf(array.slice())] as const),
        ),
      ]),
    restore(parameters, state) {
      const read = (name: string, length: number): Floats =>
        requireFloats(state[name], length, `The state of ${rule.name}`, name);
      const [count = 0] = read(stepsKey, 1);
      for (const parameter of parameters) {
        stateOf(parameter).count = count;
        for (const [slot, array] of arraysOf(parameter)) array.set(read(`${parameter.name}/${slot}`, array.length));
      }
    },
  };
}

type WithGradient = Pick<OptimizedParameter, "gradient">;

export function createAccumulator(parameters: readonly WithGradient[], count: number) {
  if (count === 1) return { add: (): boolean => true, clear: (): void => {} };
  const sums = parameters.map(({ gradient }) => ({ gradient, sum: zerosLike(gradient) }));
  let batchCount = 0;
  const clear = (): void => {
    batchCount = 0;
    for (const { sum } of sums) sum.fill(0);
  };
  return {
    /** Adds the current gradients. Returns whether they were the last of a step: the parameters then have the mean gradient. */
    add(): boolean {
      for (const { gradient, sum } of sums) runKernel("descend", [sum], gradient, -1 / count, 0);
      batchCount++;
      if (batchCount < count) return false;
      for (const { gradient, sum } of sums) gradient.set(sum);
      clear();
      return true;
    },
    clear,
  };
}

/** Added to the norm, as in torch.nn.utils.clip_grad_norm_. */
const epsilon = 1e-6;

/** Scales gradients in place by min(1, limit / (norm + 1e-6)) (Pascanu et al. 2013). Returns the global norm before, in float64. */
export function clipByNorm(parameters: readonly WithGradient[], limit: number): number {
  let squares = 0;
  for (const { gradient } of parameters) for (const slope of gradient) squares += slope * slope;
  const norm = Math.sqrt(squares);
  const factor = limit / (norm + epsilon);
  if (!(factor < 1)) return norm;
  for (const { gradient } of parameters)
    for (let index = 0; index < gradient.length; index++) gradient[index] = factor * (gradient[index] as number);
  return norm;
}
