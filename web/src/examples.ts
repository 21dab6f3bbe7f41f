/** The bundled clips beside the page. */

import { made } from "./elements";
import { Fault } from "./faults";

interface Clip {
  file: string;
  rendered_as: string;
  sentence: string;
  translation: string;
  language: string;
}

/** Fill a list with them; where they are missing it stays empty. `take` is given what to do once one is chosen. */
export async function showExamples(list: HTMLElement, take: (fetched: () => Promise<File>) => void): Promise<void> {
  const response = await fetch("clips/clips.json").catch(() => null);
  if (!response?.ok) return;
  const { clips } = (await response.json()) as { clips: Clip[] };
  const items = clips.map((clip) => {
    const button = made("button", "example");
    button.type = "button";
    const sentence = made("span", "sentence", clip.sentence);
    sentence.lang = clip.language;
    sentence.title = clip.translation;
    button.append(made("span", "imitates", clip.rendered_as), sentence);
    button.onclick = () => take(() => fetched(clip.file));
    const item = made("li");
    item.append(button);
    return item;
  });
  list.replaceChildren(...items);
}

async function fetched(name: string): Promise<File> {
  const response = await fetch(`clips/${name}`).catch(() => null);
  if (!response?.ok) throw new Fault(`${name} cannot be fetched: check the connection and try again.`);
  return new File([await response.blob()], name);
}
