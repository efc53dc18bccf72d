"""What the objective is for: a small network learns to tell outliers it has never seen.

The auxiliary outliers are varied (16 classes). With five classes on an easier task the same training
made unseen outliers harder to tell: the losses are only as good as the outliers.
"""

import pytest
import torch

from rmeeto.evaluation import auroc
from rmeeto.objectives import EnergyMargins, Outputs, TrustObjective, free_energy, separation

CLASSES, SIZE = 4, 16
AUXILIARY, UNSEEN = torch.arange(4, 20), torch.arange(20, 24)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.Linear(SIZE, 48), torch.nn.ReLU(), torch.nn.Linear(48, 24)
        )
        self.head = torch.nn.Linear(24, CLASSES)

    def forward(self, x):
        features = self.body(x)
        return Outputs(self.head(features), features)


def images(count, classes, generator):
    """Noisy points around a fixed centre for each class; outliers are classes of their own."""
    centres = torch.randn(24, SIZE, generator=torch.Generator().manual_seed(99)) * 0.6
    labels = classes[torch.randint(len(classes), (count,), generator=generator)]
    return centres[labels] + torch.randn(count, SIZE, generator=generator), labels


@pytest.fixture(scope="module")
def trained():
    """A network trained on classes 0 to 3 only."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Net()
    train(net, TrustObjective(), outliers=None)
    return net


def train(net, objective, outliers, steps=150):
    g = torch.Generator().manual_seed(1)
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    for step in range(steps):
        x, y = images(64, torch.arange(CLASSES), g)
        aux = None if outliers is None else net(images(96, outliers, g)[0])
        losses = objective(net(x), y, outliers=aux, weight=net.head.weight, progress=step / steps)
        optimiser.zero_grad()
        losses["loss"].backward()
        optimiser.step()


def measure(net):
    """AUROC of the energy against unseen outlier classes, and accuracy."""
    g = torch.Generator().manual_seed(2)
    x, y = images(600, torch.arange(CLASSES), g)
    unseen, _ = images(600, UNSEEN, g)
    with torch.no_grad():
        inside, outside = net(x).logits, net(unseen).logits
    score = auroc(free_energy(inside).numpy(), free_energy(outside).numpy())
    return score, (inside.argmax(1) == y).float().mean().item()


@pytest.mark.parametrize("kind", ["exposure", "energy"])
def test_outliers_of_other_classes_help_on_unseen_ones(trained, kind):
    control = Net()
    control.load_state_dict(trained.state_dict())
    train(control, TrustObjective(), outliers=None)  # the same steps without outliers
    before, accuracy_before = max(measure(trained), measure(control))
    net = Net()
    net.load_state_dict(trained.state_dict())
    objective = TrustObjective()
    if kind == "energy":
        g = torch.Generator().manual_seed(3)
        with torch.no_grad():
            energies = [
                free_energy(net(images(256, c, g)[0]).logits)
                for c in (torch.arange(CLASSES), AUXILIARY)
            ]
        margins = EnergyMargins.from_energies(*energies)
        objective = TrustObjective(exposure_weight=0.0, energy_weight=0.1, margins=margins)
    train(net, objective, outliers=AUXILIARY)
    after, accuracy_after = measure(net)
    assert after > before + 0.03
    assert accuracy_after > accuracy_before - 0.03
    outliers, _ = images(600, UNSEEN, torch.Generator().manual_seed(4))
    apart = [separation(n(outliers).features, n.head.weight).item() for n in (net, control)]
    assert apart[0] < apart[1] / 2
