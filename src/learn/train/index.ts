export { parametersOf } from "../../core/analysis/parameters.ts";
export { channelBlock } from "./channel-blocks.ts";
export { type DifferentiateOptions, differentiate, type Training } from "./differentiate.ts";
export {
  type GradientOptions,
  type GradientStatistic,
  observeGradients,
  type RunningGradients,
} from "./gradient-statistic.ts";
export type { BuiltLoss, Loss, LossOptions, LossScope } from "./loss.ts";
export * from "./losses/index.ts";
export { clipByNorm, defineOptimizer, type OptimizedParameter, type Optimizer, type Rule } from "./optimizer.ts";
export { type AdamOptions, adam, adamW, type LionOptions, lion, type SgdOptions, sgd } from "./optimizers.ts";
export { perSampleGradients, type SampleGradient } from "./per-sample.ts";
export { reinitialize } from "./reinitialize.ts";
export { rewind } from "./rewind.ts";
export { type Declaration, declareRoles } from "./roles.ts";
export {
  constantRate,
  cosineDecay,
  linearDecay,
  type OneCycleOptions,
  oneCycle,
  parseSchedule,
  type Schedule,
  type ScheduleContext,
  type StepDecayOptions,
  stepDecay,
  warmUp,
} from "./schedule.ts";
export { createStep, type Step } from "./step.ts";
export type { StepOptions } from "./step-graph.ts";
export { type TrainOutcome, train } from "./train.ts";
export type { Callback, TrainedStep } from "./train-options.ts";
export type { Curve, Epoch, EvaluationFigure, TrainingSummary } from "./training-state.ts";
