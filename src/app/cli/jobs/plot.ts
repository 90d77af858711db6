import { basename } from "node:path";
import { infer } from "#analysis";
import { bytesOfText } from "#ir";
import { writeFileAtomically } from "#platform";
import { storeWeights } from "../../../rewrite/clean-up/store-constants.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { plotPage } from "../../report/plot/plot.ts";
import { requireOtherThanWeights } from "../files/files.ts";
import { openModel } from "../job-parts/open-model.ts";

export interface PlotInput {
  readonly model: string;
  readonly name: string;
  readonly out: string;
  readonly amount: number;
  readonly original?: string | undefined;
}

export default async function plotJob(input: PlotInput, context: JobContext): Promise<number> {
  const model = await openModel(input.model, context);
  await requireOtherThanWeights(input.out, model, input.model);
  storeWeights(model);
  const { original: originalPath } = input;
  const original = originalPath === undefined ? undefined : await openModel(originalPath, context);
  if (original !== undefined) {
    await requireOtherThanWeights(input.out, original, originalPath ?? "");
    storeWeights(original);
  }
  context.stage("read");
  const page = await plotPage(model, infer(model), {
    name: input.name,
    amount: input.amount,
    ...(original && { original: { name: basename(originalPath ?? ""), model: original } }),
    ...context,
  });
  const html = bytesOfText(page);
  await writeFileAtomically(input.out, [html]);
  return html.byteLength;
}
