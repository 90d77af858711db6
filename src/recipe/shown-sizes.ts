/** Compressed sizes of the results that a run reports, at the level of static files (`evaluate/size.ts`). */
import { brotliQuality, qualityFor, sizeAt } from "../evaluate/size.ts";
import type { Measured } from "../report/data.ts";
import { madeOnce, type Store } from "../run/store.ts";
import { plainFile } from "./improvement.ts";
import type { Attempt } from "./variant.ts";

interface ShownSizes {
  readonly quality: number;
  readonly original: Measured;
  readonly results: readonly Attempt[];
}

/** All rows of the report have the same level, so that they compare. */
export async function withShownSizes(
  original: Measured,
  results: readonly Attempt[],
  store: Store,
): Promise<ShownSizes> {
  const quality = qualityFor([original, ...results.flatMap(({ variant }) => variant.result ?? [])].map(bytesOf));
  if (quality === brotliQuality) return { quality, original, results };
  const sized = async <M extends Measured>(measured: M): Promise<M> => {
    const { sha256, metadata } = measured;
    const plain = metadata === undefined ? undefined : await plainFile(await store.open(sha256));
    const find = async () => ({ brotli: (await sizeAt(quality, [plain?.file ?? (await store.file(sha256))])).brotli });
    return { ...measured, ...(await madeOnce(store.records, { brotliOf: sha256, quality }, find)) };
  };
  const shown: Attempt[] = [];
  for (const { variant, evaluation, ...rest } of results)
    shown.push({
      ...rest,
      variant: { ...variant, result: variant.result && (await sized(variant.result)) },
      evaluation: evaluation && { ...evaluation, measured: await sized(evaluation.measured) },
    });
  return { quality, original: await sized(original), results: shown };
}

const bytesOf = ({ bytes }: Measured): number => bytes;
