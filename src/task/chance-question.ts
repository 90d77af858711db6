/** What to ask where a model scores no better than chance. */
import { integer, percent } from "../evaluate/numbers.ts";

/**
 * `chance` is the share of the commonest class, `tried` how many samples that was seen on, and `learns` whether the model is going to be trained.
 */
export function chanceQuestion(
  preprocessing: string | undefined,
  reached: number,
  chance: number,
  tried?: number,
  learns = false,
): string {
  const how = preprocessing === undefined ? "The" : `With preprocessing "${preprocessing}" the`;
  const scores = `${percent(reached)} against ${percent(chance)}${tried === undefined ? "" : ` on ${integer(tried)} samples tried`}`;
  const suspects =
    preprocessing === undefined ? "the labels and the model" : "the preprocessing, the labels and the model";
  const better = reached > chance ? "not clearly better" : "no better";
  const fresh = learns ? " An untrained network scores like this, too." : "";
  return `${how} model scores ${better} than always predicting the most frequent class (${scores}). Check ${suspects}.${fresh}`;
}
