/** Explains errors of comparisons in which two models get the same samples but have different inputs. */
import { dimsText, type ErrorCode, isSymbolic, type Model, PithError, type Value } from "#ir";

const inputErrorCodes: ReadonlySet<ErrorCode> = new Set([
  "E_DATA",
  "E_ENGINE",
  "E_SHAPE_MISMATCH",
  "E_TYPE_MISMATCH",
  "E_NAME",
]);

export const wrongOriginalHint = "Is the original the model that this one was made from?";

/** Returns an error that explains a failed run by different inputs. Models with different inputs can run, so this is called after a failure. */
export function explainByInputs(candidate: Model, original: Model, error: unknown): PithError | undefined {
  if (!(error instanceof PithError) || !inputErrorCodes.has(error.code)) return undefined;
  const [feeds, originalFeeds] = [candidate.graph.feeds, original.graph.feeds];
  const isSame = feeds.every((feed) =>
    originalFeeds.some((other) => other.name === feed.name && hasSameType(feed, other)),
  );
  if (isSame) return undefined;
  const text = `The models differ: this one takes ${inputsText(feeds)}, the original ${inputsText(originalFeeds)}.`;
  return new PithError(error.code, `${text} Both are fed the same samples. ${error.message}`, {
    hint: wrongOriginalHint,
    cause: error,
  });
}

function hasSameType({ type: a }: Value, { type: b }: Value): boolean {
  if (a?.type !== b?.type) return false;
  if (a?.dims === undefined || b?.dims === undefined) return true;
  if (a.dims.length !== b.dims.length) return false;
  // The first dimension can count samples.
  return a.dims.slice(1).every((dim, axis) => {
    const other = b.dims?.[axis + 1] ?? dim;
    return isSymbolic(dim) || isSymbolic(other) || dim === other;
  });
}

function inputsText(feeds: readonly Value[]): string {
  return feeds.map(({ name, type }) => `"${name}" ${type?.type ?? "?"}${dimsText(type?.dims)}`).join(", ") || "nothing";
}
