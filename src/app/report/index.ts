/** Data and self-contained pages about a run and a model. */
export {
  type Disagreement,
  type Machine,
  type Measured,
  type Run,
  type RunData,
  runFormat,
  type Samples,
  type StepRecord,
  type Timing,
  type Variant,
} from "../../judge/record/data.ts";
export { reportPage } from "./html.ts";
export {
  type Blocks,
  type InspectedBlock,
  type InspectedLayer,
  type Inspection,
  inspect,
  type Port,
  type StoredTensors,
} from "./inspect/inspect.ts";
export type { Saving, Savings, TableSaving } from "./inspect/savings.ts";
export { reportMarkdown, variantsMarkdown } from "./markdown.ts";
export type { OperationCount } from "./operation-count.ts";
export { type PlotOptions, plotPage } from "./plot/plot.ts";
