//! What `cargo xtask` reads in Markdown: fenced blocks, and what stands between them.

/// A fenced block, and where it stands.
pub(crate) struct Block {
    /// The words behind the fence: the language first, then marks such as `slow`.
    pub words: Vec<String>,
    /// The line of the opening fence, counted from 1.
    pub line: usize,
    pub text: String,
}

impl Block {
    pub(crate) fn language(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    pub(crate) fn has(&self, mark: &str) -> bool {
        self.words.iter().skip(1).any(|word| word == mark)
    }
}

/// A document without its fenced blocks, and these.
pub(crate) struct Document {
    /// Line by line, empty where a block stands.
    pub prose: Vec<String>,
    pub blocks: Vec<Block>,
}

impl Document {
    pub(crate) fn parse(text: &str) -> Self {
        let (mut prose, mut blocks): (Vec<String>, Vec<Block>) = Default::default();
        let mut open: Option<Block> = None;
        for (number, line) in text.lines().enumerate() {
            let fence = line.trim_start().strip_prefix("```");
            prose.push(String::new());
            match (&mut open, fence) {
                (None, Some(info)) => {
                    open = Some(Block {
                        words: info.split_whitespace().map(str::to_owned).collect(),
                        line: number + 1,
                        text: String::new(),
                    });
                }
                (None, None) => prose[number].push_str(line),
                (Some(_), Some("")) => blocks.extend(open.take()),
                (Some(block), _) => {
                    block.text += line;
                    block.text += "\n";
                }
            }
        }
        blocks.extend(open);
        Self { prose, blocks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_their_marks() {
        let found = Document::parse("# One\n\n```sh slow\n# two\n```\nthree\n");
        let [block] = &found.blocks[..] else {
            panic!("{} blocks", found.blocks.len());
        };
        assert_eq!((block.language(), block.line), ("sh", 3));
        assert!(block.has("slow") && !block.has("sh") && !block.has("torch"));
        assert_eq!(block.text, "# two\n");
        assert_eq!(found.prose, ["# One", "", "", "", "", "three"]);
    }
}
