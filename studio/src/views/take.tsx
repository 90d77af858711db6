import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { type Candidate, partSizes } from "../backend/backend.ts";
import { isServed } from "../backend/kind.ts";
import { ProblemAlert } from "../components/alert.tsx";
import { figureValue } from "../components/figures.tsx";
import { ProgressBox } from "../components/progress.tsx";
import { ShareBox } from "../components/share-box.tsx";
import { SlowAlert } from "../components/slow-alert.tsx";
import { StorageAlert } from "../components/stored-sessions.tsx";
import { Table } from "../components/table.tsx";
import { Verdict } from "../components/verdict.tsx";
import { exampleAt, exampleFile } from "../examples.ts";
import { bytesText } from "../format.ts";
import { downloadFigure, resultNumbers, resultSentence } from "../measurements.ts";
import { pageCode } from "../page-code.ts";
import { download, type Product } from "../products.ts";
import { initialSettings, nameOf } from "../settings/presets.ts";
import { choose, job, model, modelSource, samples, samplesRequest, takenCandidate } from "../state/signals.ts";
import { folder, variants } from "../transformers-folder.ts";
import { CandidatePicker, NoCandidate } from "./compare.tsx";

export function Take(): JSX.Element {
  const { value: candidate } = takenCandidate;
  if (candidate === undefined || model.value === undefined) return <NoCandidate />;
  const name = model.value.name.replace(/\.onnx$/, "");
  return (
    <section>
      <CandidatePicker label="Take" candidate={candidate} onPick={choose} />
      <h1>{resultSentence(resultNumbers(candidate))}</h1>
      <Verdict candidate={candidate} />
      <SlowAlert candidate={candidate} onPick={({ id }) => choose(id)} />
      <ShareBox key={candidate.id} candidate={candidate} />
      <StorageAlert />
      <ProblemAlert place="take" />
      <ProgressBox place="take" />
      <h2>Files</h2>
      <Table
        label="Files"
        kind="files"
        columns={[
          { title: "file", kind: "name" },
          { title: "size", kind: "n" },
          { title: <span class="sr">download</span>, kind: "n" },
        ]}
        rows={filesOf(candidate, name).map(({ product, name: file, content, size }) => ({
          key: file,
          cells: [
            <>
              {file}
              <small>{content}</small>
            </>,
            size ?? "",
            <button
              type="button"
              class={product === "model" ? "primary" : undefined}
              disabled={job.value?.place === "take"}
              onClick={() => download(candidate, product, file)}
            >
              Download
            </button>,
          ],
        }))}
      />
      <FolderVariants />
      <h2>The same on the command line</h2>
      <CodeBox text={commandOf(candidate, modelSource.value?.place ?? model.value.name)} />
      <ExampleFiles />
      <p class="note">
        {isServed ? (
          "The command writes the same bytes."
        ) : (
          <>
            The command needs a project in which Pith is <a href="../start.html#install">installed</a>. Int8 weights and
            float16 have the same bytes. Other files have the same size and can differ in some values, because
            WebAssembly rounds differently.
          </>
        )}
      </p>
      <details>
        <summary>recipe.yaml</summary>
        <CodeBox text={candidate.recipe} />
      </details>
      <h2>Use it in a page</h2>
      <CodeBox
        text={pageCode({
          file: modelFile(candidate, name),
          inputs: model.value.inspection.inputs,
          output: mainOutput(model.value.inspection.outputs),
          classes: samples.value?.classes,
          image: samples.value?.image,
          preprocessing: samples.value?.preset,
        })}
      />
      <h2>Serve it</h2>
      <Serving file={modelFile(candidate, name)} />
    </section>
  );
}

/** The files that the printed command reads, if they are those of an example. */
function ExampleFiles(): JSX.Element | null {
  const example = exampleAt(modelSource.value?.place ?? "");
  if (example === undefined) return null;
  return (
    <p class="note">
      The command reads the files of this example:{" "}
      <a href={exampleFile(example)} download={`${example.name}.zip`}>
        {example.name}.zip
      </a>
      . Unpack it in the folder in which you run the command.
    </p>
  );
}

const runtimeFile = "ort-wasm-simd-threaded.wasm";

/** How a server sends the compressed copies. */
function Serving({ file }: { file: string }): JSX.Element {
  return (
    <>
      <p>
        Put <span class="name">{file}</span> and <span class="name">{file}.br</span> beside each other on the server. It
        sends the small copy with the header <code>Content-Encoding: br</code>, and the page loads{" "}
        <span class="name">{file}</span> as before. Browsers accept brotli over HTTPS only, and on localhost.
      </p>
      <CodeBox
        text={`# nginx, with the module ngx_brotli
location /models/ { brotli_static on; gzip_static on; }

# Caddy
file_server /models/* {
  precompressed br gzip
}

# Node, with the package sirv
sirv("public", { brotli: true, gzip: true });

# Amazon S3, which sends the headers that a file is stored with
aws s3 cp ${quoted(`${file}.br`)} ${quoted(`s3://example-bucket/models/${file}`)} \\
  --content-encoding br --content-type application/octet-stream

# Is the copy sent?
curl -sI -H "Accept-Encoding: br" ${quoted(`https://example.com/models/${file}`)} | grep -i content-encoding`}
      />
      <p class="note">
        A host on which you cannot set this header, such as GitHub Pages: put the <span class="name">.gz</span> copy on
        it, and let the page decompress it. Some hosts send it with a header, and the browser decompresses it.
      </p>
      <CodeBox
        text={`const response = await fetch("/models/${file}.gz");
const isPlain = response.headers.get("Content-Encoding") === "gzip";
const content = isPlain ? response.body : response.body.pipeThrough(new DecompressionStream("gzip"));
const session = await ort.InferenceSession.create(new Uint8Array(await new Response(content).arrayBuffer()));`}
      />
      <p class="note">
        A first visit loads the runtime, too, once for all models: the file <span class="name">{runtimeFile}</span> has
        14.2 MB, and 2.4 MB after brotli. A bundler such as Vite copies it beside the scripts: compress it as well, for
        example with <code>brotli -k dist/assets/*.wasm</code>. The address in the second line of the code sends it
        compressed.
      </p>
    </>
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
  const flags = Object.entries(options).map(([option, value]) => {
    const flag = option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    return value === false ? `--no-${flag}` : `--${flag} ${value}`;
  });
  return ["npx --no-install pith quantize", quoted(name), ...flags, "--seed 0 --force -o", "out.onnx"].join(" ");
}

/** Returns a word of a command that no shell changes. */
const quoted = (word: string): string => (/^[\w.:/,=-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

/** Returns the output that the page evaluates: "logits", otherwise the first. */
const mainOutput = (outputs: readonly { readonly name: string }[]): string =>
  (outputs.find(({ name }) => name === "logits") ?? outputs[0])?.name ?? "";

/** Returns "digits.prune-channels-int8.onnx". An amount is in the name if the user chose it. */
function modelFile({ name, settings }: Candidate, model: string): string {
  const isUsual = settings?.amount === (settings && initialSettings(settings.preset).amount);
  const text = settings === undefined ? name : nameOf(settings, !isUsual);
  return `${model}.${text.replace(/[^\w]+/g, "-").replace(/-+$/, "")}.onnx`;
}

interface Download {
  readonly product: Product;
  readonly name: string;
  readonly content: string;
  readonly size?: string | undefined;
}

function filesOf(candidate: Candidate, name: string): readonly Download[] {
  const file = modelFile(candidate, name);
  const { bytes } = candidate.inspection;
  const sizeOf = (encoding: "gzip" | "brotli"): string => figureValue(downloadFigure(candidate.id, bytes, encoding));
  const files: readonly Download[] = [
    {
      product: "model",
      name: file,
      content: `the model; sha256 ${candidate.sha256.slice(0, 8)}…`,
      size: bytesText(bytes),
    },
    { product: "model.br", name: `${file}.br`, content: "the copy that servers send (brotli)", size: sizeOf("brotli") },
    { product: "model.gz", name: `${file}.gz`, content: "the same for hosts without brotli", size: sizeOf("gzip") },
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
