export { parametersOf } from "../analysis/parameters.ts";
export { type DifferentiateOptions, differentiate, type Training } from "./differentiate.ts";
export { type BuiltLoss, type CrossEntropyOptions, crossEntropy, type Loss, type LossScope } from "./loss.ts";
export { type AdamOptions, adam, type Optimizer, type SgdOptions, sgd, type Trained } from "./optimizer.ts";
export { createStep, type Step, type StepOptions } from "./step.ts";
export { type Epoch, type TrainOutcome, train } from "./train.ts";
