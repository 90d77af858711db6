export { parametersOf } from "../analysis/parameters.ts";
export { type AdamOptions, adam, adamW } from "./adam.ts";
export { channelBlock } from "./channel-blocks.ts";
export { clipByNorm } from "./clip.ts";
export { type DifferentiateOptions, differentiate, type Training } from "./differentiate.ts";
export { type HessianProduct, type HessianProductOptions, hessianVectorProduct } from "./hessian-product.ts";
export { type LionOptions, lion } from "./lion.ts";
export type { BuiltLoss, Loss, LossOptions, LossScope } from "./loss.ts";
export * from "./losses/index.ts";
export { defineOptimizer, type Optimizer, type Rule, type Trained } from "./optimizer.ts";
export { perSampleGradients, type SampleGradient } from "./per-sample.ts";
export { reinitialize } from "./reinitialize.ts";
export { type Declaration, declareRoles } from "./roles.ts";
export {
  constantRate,
  cosineDecay,
  linearDecay,
  type OneCycleOptions,
  oneCycle,
  type Schedule,
  type StepDecayOptions,
  stepDecay,
  warmUp,
} from "./schedule.ts";
export { type SgdOptions, sgd } from "./sgd.ts";
export { createStep, type Step } from "./step.ts";
export type { StepOptions } from "./step-options.ts";
export { type TrainOutcome, train } from "./train.ts";
export type { Epoch, Evaluated, TrainingSummary } from "./training-state.ts";
