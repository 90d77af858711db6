import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { type Candidate, partSizes } from "../backend/backend.ts";
import { isServed } from "../backend/kind.ts";
import { ProblemAlert } from "../components/alert.tsx";
import { StorageAlert } from "../components/stored-sessions.tsx";
import { Table } from "../components/table.tsx";
import { Verdict } from "../components/verdict.tsx";
import { bytesText } from "../format.ts";
import { download, type Product } from "../products.ts";
import { candidates, model, samples, samplesRequest, selected } from "../state.ts";
import { folder, variants } from "../transformers-folder.ts";
import { CandidatePicker, NoCandidate } from "./compare.tsx";

export function Take(): JSX.Element {
  const candidate = selected.value ?? candidates.value.at(-1);
  if (candidate === undefined || model.value === undefined) return <NoCandidate />;
  const { inspection } = candidate;
  const name = model.value.name.replace(/\.onnx$/, "");
  return (
    <section>
      <CandidatePicker label="Take" candidate={candidate} />
      <h1>
        Take {candidate.name}: {bytesText(inspection.bytes)} instead of {bytesText(model.value.inspection.bytes)}.
      </h1>
      <Verdict candidate={candidate} />
      <StorageAlert />
      <ProblemAlert place="take" />
      <h2>Files</h2>
      <Table
        label="Files"
        kind="files"
        columns={[
          { title: "file", kind: "name" },
          { title: "content" },
          { title: <span class="sr">download</span>, kind: "n" },
        ]}
        rows={filesOf(candidate, name).map(({ product, name: file, content }) => ({
          key: file,
          cells: [
            file,
            content,
            <button
              type="button"
              class={product === "model" ? "primary" : undefined}
              onClick={() => download(candidate, product, file)}
            >
              Download
            </button>,
          ],
        }))}
      />
      <FolderVariants />
      <h2>The same on the command line</h2>
      <CodeBox text={commandOf(candidate, model.value.name)} />
      <p class="note">
        {isServed
          ? "The command writes the same bytes."
          : "Int8 weights and float16 have the same bytes. Where the model runs to find values, WebAssembly rounds differently: the command’s file has the same size, and can differ in some values."}
      </p>
      <details>
        <summary>recipe.yaml</summary>
        <CodeBox text={candidate.recipe} />
      </details>
      <h2>Use it in a page</h2>
      <CodeBox text={useText(modelFile(candidate, name))} />
    </section>
  );
}

/** The variants of a folder of transformers.js, and the folder as a zip. */
function FolderVariants(): JSX.Element | null {
  const { value } = folder;
  const [first] = variants.value;
  if (value === undefined) return null;
  return (
    <>
      <h2>Folder for transformers.js</h2>
      {first === undefined ? (
        <p>
          No file for transformers.js has been made yet. <a href="#smaller">Make one</a> for each dtype that your page
          loads.
        </p>
      ) : (
        <>
          <Table
            label="Files for transformers.js"
            kind="files"
            columns={[
              { title: "dtype" },
              { title: "file", kind: "name" },
              { title: "bytes", kind: "n" },
              { title: "verdict" },
            ]}
            rows={variants.value.map(({ dtype: { name, meaning }, path, candidate }) => ({
              key: name,
              cells: [
                <span title={meaning}>{name}</span>,
                path,
                bytesText(candidate.inspection.bytes),
                candidate.summary.word,
              ],
            }))}
          />
          <p>
            <button
              type="button"
              onClick={() => download(first.candidate, "folder", `${value.root.replace(/\/$/, "") || "model"}.zip`)}
            >
              Download the folder
            </button>
          </p>
          <CodeBox text={`await pipeline(task, "${value.root || "model/"}", { dtype: "${first.dtype.name}" });`} />
        </>
      )}
    </>
  );
}

function commandOf({ options, run }: Candidate, name: string): string {
  const { name: data = "samples/", preset } = samples.value ?? {};
  const goal = run?.goal?.maxDrop;
  if (options === undefined)
    return `npx --no-install pith compress ${quoted(name)} --data ${quoted(data)}${preset === undefined ? "" : ` --preprocess ${quoted(preset)}`} --samples ${samplesRequest.value?.samples ?? partSizes.samples} -r recipe.yaml${goal === undefined ? "" : ` --max-drop ${goal}`} --seed 0 --force -o out/`;
  const flags = Object.entries(options).map(([option, value]) => `--${option} ${value}`);
  return ["npx --no-install pith quantize", quoted(name), ...flags, "--seed 0 --force -o", "out.onnx"].join(" ");
}

/** Returns a word of a command that no shell changes. */
const quoted = (word: string): string => (/^[\w./,=-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

/** Returns code that loads the model with onnxruntime-web. */
function useText(file: string): string {
  const inspection = model.value?.inspection;
  const inputs = inspection?.inputs ?? [];
  const names = inputs.map(({ name, type, dims }) => `  // ${JSON.stringify(name)}: ${type} ${dims}`);
  const feeds = inputs.map(({ name }) => `${JSON.stringify(name)}: tensor`).join(", ");
  const preprocessing = samples.value?.preset;
  return `import * as ort from "onnxruntime-web";

const session = await ort.InferenceSession.create(${JSON.stringify(`/models/${file}`)});
const outputs = await session.run({
${names.join("\n")}${preprocessing === undefined ? "" : `\n  // preprocessing: ${preprocessing}`}
  ${feeds}
});
console.log(outputs[${JSON.stringify(inspection?.outputs[0]?.name ?? "")}].data);
`;
}

const modelFile = (candidate: Candidate, name: string): string =>
  `${name}.${candidate.name.replace(/[^\w]+/g, "-").replace(/-+$/, "")}.onnx`;

interface Download {
  readonly product: Product;
  readonly name: string;
  readonly content: string;
}

function filesOf(candidate: Candidate, name: string): readonly Download[] {
  const file = modelFile(candidate, name);
  const files: readonly Download[] = [
    { product: "model", name: file, content: `the model; sha256 ${candidate.sha256.slice(0, 8)}…` },
    { product: "model.gz", name: `${file}.gz`, content: "the model after gzip" },
    { product: "recipe", name: "recipe.yaml", content: "the steps and their options" },
  ];
  const content = "all figures, versions and seed; one file, without scripts";
  return candidate.run === undefined ? files : [...files, { product: "report", name: "report.html", content }];
}

function CodeBox({ text }: { text: string }): JSX.Element {
  const [state, setState] = useState<"Copy" | "Copied" | "Select the text">("Copy");
  const copy = async (): Promise<void> => {
    setState(
      await navigator.clipboard.writeText(text).then(
        () => "Copied" as const,
        () => "Select the text" as const,
      ),
    );
  };
  return (
    <div class="codebox">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: text that scrolls must be reachable by keyboard. */}
      <pre tabIndex={0}>{text}</pre>
      <button type="button" class="copy" onClick={copy}>
        {state}
      </button>
    </div>
  );
}
