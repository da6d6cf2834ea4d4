from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from nas.report.strip import BARS, Strips
from searchspaces.architecture import Architecture, Layer
from searchspaces.form import Classes, Form, Grid
from searchspaces.mixers import mixers, parse_mixer

OPTIONS = st.sampled_from([mixer.example for mixer in mixers().values()] + ["window:16", "window:64"])
LAYERS = st.builds(Layer, OPTIONS, st.just(4), st.just("mlp"), st.sampled_from([0.5, 1.0, 2.0, 4.0]))
ARCHITECTURES = st.builds(
    Architecture, st.just(256), st.just(64), st.lists(LAYERS, min_size=1, max_size=6).map(tuple)
)


@given(st.lists(ARCHITECTURES, min_size=1, max_size=4))
def test_every_layer_has_its_mixers_glyph_and_a_bar_that_grows_with_the_ratio(architectures):
    strips = Strips(architectures)
    shown = [
        (layer, cell)
        for each in architectures
        for layer, cell in zip(each.layers, strips.cells(each), strict=True)
    ]
    for layer, cell in shown:
        assert cell.glyph == parse_mixer(layer.mixer).glyph
        assert cell.bar in BARS
    by_ratio = sorted((layer.ratio, BARS.index(cell.bar), cell.height) for layer, cell in shown)
    assert [bar for _, bar, _ in by_ratio] == sorted(bar for _, bar, _ in by_ratio)
    assert [height for *_, height in by_ratio] == sorted(height for *_, height in by_ratio)


@given(st.lists(ARCHITECTURES, min_size=1, max_size=4))
def test_different_options_have_different_colours_which_the_legend_tells(architectures):
    strips = Strips(architectures)
    legend = {cell.title: cell.colour for cell in strips.mixer_legend()}
    assert set(legend) == {layer.mixer for each in architectures for layer in each.layers}
    assert len(set(legend.values())) == len(legend)


def test_glyphs_tell_mixers_apart():
    glyphs = [mixer.glyph for mixer in mixers().values()]
    assert len(set(glyphs)) == len(glyphs)
    assert all(len(glyph) == 1 for glyph in glyphs)


def test_the_plain_text_form():
    layers = (Layer("softmax", 4, "mlp", 4), Layer("none", 0, "mlp", 1))
    architecture = Architecture(256, 64, layers)
    softmax, none = (parse_mixer(name).glyph for name in ("softmax", "none"))
    assert Strips([architecture]).text(architecture) == f"{softmax}█ {none}▁"


def test_what_stands_around_the_layers_is_told_where_it_differs() -> None:
    form, layers = Form(Grid((8, 8)), Classes(10)), (Layer("softmax", 2),)
    one, other = (
        Architecture(0, 16, layers, form=form, stem=stem, readout="mean") for stem in ("patch:2", "conv:3,2")
    )
    assert Strips([one]).around(one) == ""
    assert [Strips([one, other]).around(each) for each in (one, other)] == ["patch:2", "conv:3,2"]
    pooled = replace(one, readout="pool")
    assert Strips([one, other, pooled]).around(pooled) == "patch:2 pool"


def test_a_mixer_that_is_not_known_here_has_a_glyph_of_its_own() -> None:
    """A service of a later version has found it, or a plug-in that is not installed beside this client."""
    layers = (Layer("telepathy:far,3", 2), Layer("softmax", 2))
    architecture = Architecture(256, 64, layers)
    strips = Strips([architecture])
    assert strips.text(architecture) == "¤▁ S▁".replace("▁", BARS[-1])
    assert [cell.title for cell in strips.mixer_legend()] == ["softmax", "telepathy:far,3"]
    assert all(mixer.glyph != "¤" for mixer in mixers().values())
