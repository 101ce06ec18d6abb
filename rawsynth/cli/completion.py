"""print a script that completes verbs, options and names in bash or zsh

Made from the parsers, so it knows what they know; write it anew after an upgrade.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Mapping

DESCRIPTION = """\
Print a completion script for bash, which zsh reads too: verbs, the options of each, the values that options choose
from, methods and noise models; file names for all else. For bash it goes to
~/.local/share/bash-completion/completions/rawsynth; for zsh to any file that ~/.zshrc sources.

examples:
  rawsynth completion
  rawsynth completion zsh
"""

_SCRIPT = """\
_rawsynth() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} words=
    if [ "$COMP_CWORD" -eq 1 ]; then
        words={verbs}
    else
        case "${{COMP_WORDS[1]}} $prev" in
{values}
            *) case "$cur" in -*) case "${{COMP_WORDS[1]}}" in
{options}
            esac ;; esac ;;
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}}
complete -o default -F _rawsynth rawsynth
"""
_ZSH = "autoload -Uz compinit bashcompinit && compinit && bashcompinit\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("shell", nargs="?", default="bash", choices=["bash", "zsh"], help="which shell (default bash)")


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    from rawsynth.cli.main import build_parser

    (action,) = (each for each in build_parser()._actions if isinstance(each, argparse._SubParsersAction))
    print((_ZSH if args.shell == "zsh" else "") + script(action.choices), end="")
    return 0


def script(parsers: Mapping[str, argparse.ArgumentParser]) -> str:
    """Return the script for these verbs."""
    values = [f"            {shlex.quote(f'{verb} {option}')}) words={_words(names)} ;;"
              for verb, parser in parsers.items() for option, names in _choices(parser)]  # fmt: skip
    known = {verb: list(parser._option_string_actions) for verb, parser in parsers.items()}
    options = [f"                {verb}) words={_words(names)} ;;" for verb, names in known.items()]
    return _SCRIPT.format(verbs=_words(list(parsers)), values="\n".join(values), options="\n".join(options))


def _choices(parser: argparse.ArgumentParser) -> Iterator[tuple[str, list[str]]]:
    """Yield each option that takes one of some names, with the names."""
    from rawsynth.methods import METHODS
    from rawsynth.noise import NOISE_MODELS

    named = {"--method": sorted(METHODS), "--noise": sorted(NOISE_MODELS)}
    for option, action in parser._option_string_actions.items():
        if action.choices:
            yield option, [str(choice) for choice in action.choices]
        elif option in named:
            yield option, named[option]


def _words(names: list[str]) -> str:
    return shlex.quote(" ".join(names))
