//! `kwapi keystone-register`: the commands that make kwapi known to Keystone.

use crate::cli::KeystoneRegisterArgs;

/// Prints the commands; nothing is sent, since only an administrator's credentials can.
pub(crate) fn print(arguments: &KeystoneRegisterArgs) {
    let KeystoneRegisterArgs { url, region } = arguments;
    let url = url.trim_end_matches('/');
    println!(
        "\
# Run these with administrator credentials (source admin-openrc).
# The service user with the least role that may validate tokens:
openstack user create --domain default --password-prompt kwapi
openstack role add --project service --user kwapi service
# The catalogue entry that Ceilometer looks for; no slash at the end:
openstack service create --name kwapi --description \"Energy monitoring\" energy
openstack endpoint create --region {region} energy public {url}
openstack endpoint create --region {region} energy internal {url}
openstack endpoint create --region {region} energy admin {url}
# Then, in kwapi.toml:
#   [api.auth.keystone]
#   url = \"http://controller:5000/v3\"
#   username = \"kwapi\"
#   password_file = \"/etc/kwapi/keystone.secret\""
    );
}
