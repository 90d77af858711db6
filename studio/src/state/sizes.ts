/** Measures sizes after compression, and estimates those of candidates that are not made yet. */
import { computed, effect, signal } from "@preact/signals";
import type { DownloadRates, DownloadSizes, SamplesRequest, Settings } from "../backend/backend.ts";
import { estimateDownload, estimateSizes, estimateSmallest, measuredSizes } from "../settings/estimate.ts";
import { backendOf } from "./jobs.ts";
import {
  candidates,
  downloads,
  job,
  model,
  modelSource,
  openFiles,
  samplesRequest,
  settings,
  sizeKind,
  subject,
} from "./signals.ts";

/** Bits of a weight after compression, of formats that the model can be stored in; undefined until they are known. */
export const downloadRates = signal<DownloadRates | undefined>(undefined);

/** Bytes after brotli of the preset "smallest download" at its initial settings, with the samples that gave them. */
export const smallestDownload = signal<{ readonly request: SamplesRequest; readonly bytes: number } | undefined>(
  undefined,
);

/** The same bytes, if they are those of the chosen samples. */
export const smallestBytes = computed(() =>
  smallestDownload.value?.request === samplesRequest.value ? smallestDownload.value?.bytes : undefined,
);

export const originalSizes = computed(() => model.value && measuredSizes(model.value.inspection));

export const estimatedSizes = computed(
  () => model.value && estimateSizes(downloadRates.value?.simplified ?? model.value.inspection, settings.value),
);

/** Returns the estimated bytes of settings as the page shows them; undefined if they cannot be known. */
export function estimatedBytes(chosen: Settings): number | undefined {
  const inspection = model.value?.inspection;
  if (inspection === undefined) return undefined;
  const { value: rates } = downloadRates;
  const { value: smallest } = smallestBytes;
  if (chosen.preset === "download" && sizeKind.value === "download" && chosen.isFast !== true)
    return smallest && estimateSmallest(chosen, smallest);
  if (sizeKind.value === "disk") return estimateSizes(rates?.simplified ?? inspection, chosen)?.total;
  return rates && estimateDownload(inspection, chosen, rates, downloads.value[""]?.brotli);
}

export const downloadSizesOf = (file: Blob | string): Promise<DownloadSizes> =>
  backendOf()
    .call("downloadSizes", [file])
    .catch(() => ({ gzip: undefined, brotli: undefined }));

async function measureDownload(id: string, file: Blob | string): Promise<void> {
  const key = modelSource.value?.key;
  const sizes = await downloadSizesOf(file);
  // Another model can have been opened meanwhile, whose candidates have the same names.
  if (modelSource.value?.key === key) downloads.value = { ...downloads.value, [id]: sizes };
}

/** Measures the sizes that are missing, for example because the tab was closed while they were measured. */
export function measureDownloads(): void {
  if (openFiles.value.model && isMissing("")) measureDownload("", subject.value.model);
  if (openFiles.value.model) void estimateRates();
  for (const { id, file } of candidates.value) if (isMissing(id)) measureDownload(id, file);
}

async function estimateRates(): Promise<void> {
  const { key, place = "" } = modelSource.value ?? {};
  const rates = await backendOf()
    .call("downloadRates", [place])
    .catch(() => undefined);
  if (modelSource.value?.key === key) downloadRates.value = rates;
}

const isMissing = (id: string): boolean => downloads.value[id]?.brotli === undefined;

/** Bytes of a model that is made smaller in the background in seconds. */
const maxBackgroundBytes = 2e6;

/** Estimates the smallest download while nothing is computed. */
export function estimateWhileIdle(): void {
  let isRunning = false;
  effect(() => {
    const { value: request } = samplesRequest;
    const isIdle = job.value === undefined && openFiles.value.samples && downloads.value[""]?.brotli !== undefined;
    const isSmall = (model.value?.inspection.bytes ?? Number.POSITIVE_INFINITY) <= maxBackgroundBytes;
    if (isRunning || !isIdle || !isSmall || request === undefined || smallestDownload.peek()?.request === request)
      return;
    isRunning = true;
    backendOf()
      .call("smallestDownload", [subject.peek()])
      .then(
        (bytes) => {
          if (bytes !== undefined) smallestDownload.value = { request, bytes };
        },
        // Another computation ended it. It begins again after that.
        () => {},
      )
      .finally(() => {
        isRunning = false;
      });
  });
}
