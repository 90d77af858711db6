/** Exports drawings, texts and views for the studio. They are not part of the package's surface. */
export { filesOfRecipe } from "../../judge/recipe/pass-steps.ts";
export type { SampleView } from "../../judge/record/run-record.ts";
export { sampleViewsOf } from "../../judge/record/sample-views.ts";
export { outputDifferenceText } from "../../judge/record/verdict.ts";
export { blameText } from "../../runtime/noise/layer-errors.ts";
export { type Summary, summarize } from "./choice.ts";
export { drawLayerErrors, drawLayerTable } from "./debug.ts";
export { drawGraph } from "./graph/draw-graph.ts";
export { drawDisagreements, drawSample } from "./report-page.ts";
export { drawSizes, type SizeDrawing } from "./size-chart.ts";
export { sharedStyle } from "./style.ts";
export { drawTraining } from "./training-chart.ts";
