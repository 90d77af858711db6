/** Candidates that distillation adds to a search: more epochs recover more of a loss. */
import { integer } from "#ir";
import type { Move, MovesRequest } from "#pass";

const epochs = [1, 3, 8, 20];
/** Number of samples that shows whether more training is worth its time. */
const trialSamples = 4000;
/** Cost of a training sample, as measured: one forward run, a backward pass of two to six, and one run of the teacher. */
const runsOfStep = 8;
const minSamples = 128;

export function distillMoves({ samples: { train } }: MovesRequest): readonly Move[] {
  if (train < minSamples) return [];
  const move = (text: string, passes: number, options: Move["options"]): Move => ({
    name: `distilled, ${text}`,
    options: { teacher: "original", ...options },
    kind: "healing",
    family: "distilled",
    // Estimated share of the loss that is recovered: 85 % after one epoch; the rest falls with the square root of the epochs.
    recovery: 1 - 0.15 / passes ** 0.5,
    runs: runsOfStep * passes * train,
    hasTraining: true,
  });
  return [
    ...(train > 2 * trialSamples
      ? [move(`${integer(trialSamples)} samples`, trialSamples / train, { epochs: trialSamples / train })]
      : []),
    ...epochs.map((count) => move(`${count} ${count === 1 ? "epoch" : "epochs"}`, count, { epochs: count })),
  ];
}
