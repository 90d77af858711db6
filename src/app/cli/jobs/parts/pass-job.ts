/** Input and output of the job that runs a pass on one model. */
import type { Encoding } from "#platform";
import type { MeasuredPair, PlannedCost, SizeAndCost } from "../../../../judge/measure/measured-pair.ts";
import type { SampleUse } from "../../../../judge/recipe/open-samples.ts";
import type { SingleStep, StepReport } from "../../../../judge/run/single-step.ts";
import type { StepRequest } from "../../../../judge/run/step-request.ts";
import type { CompressedSize } from "../../../../runtime/run/model-size.ts";
import type { JointCheck } from "../../../folder/joint-judge.ts";
import type { StepFlagValues } from "../../commands/pass.ts";
import type { DataRequest } from "../../flags/data.ts";

export interface PassInput
  extends Pick<
      StepFlagValues,
      "original" | "metric" | "output" | "maxDrop" | "strict" | "force" | "fallback" | "dryRun" | "targetDownload"
    >,
    Pick<StepRequest, "maxBytes" | "judgedTogether"> {
  readonly command: string;
  readonly model: string;
  readonly out: string;
  readonly skipsSidecars: boolean;
  /** Options of the pass from the command line. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly data: DataRequest | undefined;
  /** Other models of the folder, with which the result must also pass end to end. */
  readonly jointCheck?: JointCheck | undefined;
  /** Maximum bytes per file. */
  readonly fileBytes?: number;
  readonly precompress?: readonly Encoding[] | undefined;
  /** Present for a variant of a folder. */
  readonly sizeBefore?: Partial<CompressedSize>;
  /** Whether results are chosen by their size after brotli. */
  readonly forDownload?: boolean;
  /** File that keeps the text which the model generates. */
  readonly textFile?: string | undefined;
  readonly seed: number;
}

export type PassOutput = WrittenOutput | UnwrittenOutput;

export interface PassReport extends StepReport {
  readonly before: SizeAndCost;
  readonly preprocessing?: string | undefined;
  readonly samples?: SampleUse | undefined;
}

export interface UnwrittenOutput extends PassReport {
  readonly written?: undefined;
  readonly planned?: PlannedCost | undefined;
}

export interface WrittenOutput extends PassReport, MeasuredPair, Pick<SingleStep, "invariance"> {
  /** Present if the verdict compares only with an input model that is a result of Pith. */
  readonly continues?: true | undefined;
  readonly lost?: string | undefined;
  readonly written: string;
}
