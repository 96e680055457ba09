# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.
"""Energy and power of each of Kwapi's probes, from one request a polling cycle.

The endpoint comes from Keystone's catalogue (service type ``energy``), the
token from Ceilometer's own service credentials.
"""

import datetime

from oslo_log import log

from ceilometer.polling import plugin_base
from ceilometer import sample

LOG = log.getLogger(__name__)

# Seconds. Kwapi answers for 100 000 probes within one.
TIMEOUT = 10


class ProbeSample(sample.Sample):
    """A sample that keeps the time of its measurement.

    Ceilometer's polling manager sets all samples of a cycle to the time of
    the cycle. Kwapi records when each probe was measured, and a sample stored
    under another time would move energy from one interval to the next.
    """

    def set_timestamp(self, timestamp):
        pass


class _Pollster(plugin_base.PollsterBase):
    name = None
    type = None
    unit = None
    field = None

    @property
    def default_discovery(self):
        return 'endpoint:energy'

    @staticmethod
    def _probes(manager, cache, endpoint):
        """All probes of an endpoint, requested once a cycle."""
        key = 'kwapi-' + endpoint
        if key not in cache:
            url = endpoint.rstrip('/') + '/probes/'
            try:
                answer = manager.keystone.session.get(url, timeout=TIMEOUT)
                cache[key] = answer.json()['probes']
            except Exception as error:
                # Once a cycle, not once a meter; the next cycle tries again.
                LOG.error('Cannot read probes from %s: %s', url, error)
                cache[key] = {}
        return cache[key]

    def get_samples(self, manager, cache, resources):
        for endpoint in resources:
            probes = self._probes(manager, cache, endpoint)
            for probe, values in probes.items():
                measured = datetime.datetime.fromtimestamp(
                    values['timestamp'], datetime.timezone.utc)
                yield ProbeSample(
                    name=self.name,
                    type=self.type,
                    unit=self.unit,
                    volume=values[self.field],
                    user_id=None,
                    project_id=None,
                    resource_id=probe,
                    # As Ceilometer writes its own: UTC, without saying so.
                    timestamp=measured.replace(tzinfo=None).isoformat(),
                    resource_metadata={'timestamp': values['timestamp']})


class EnergyPollster(_Pollster):
    name = 'energy'
    type = sample.TYPE_CUMULATIVE
    unit = 'kWh'
    field = 'kwh'


class PowerPollster(_Pollster):
    name = 'power'
    type = sample.TYPE_GAUGE
    unit = 'W'
    field = 'w'
